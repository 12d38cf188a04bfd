# What a small server of the sort that belay meets has installed.
FROM debian:bookworm-slim
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    openssh-server tmux procps iproute2 iptables curl git rsync zstd sudo busybox nginx-light ca-certificates \
    && rm -rf /var/lib/apt/lists/* && rm -f /etc/ssh/ssh_host_* /etc/machine-id \
    && rm -f /etc/nginx/sites-enabled/default && mkdir -p /run/sshd /etc/lab-boot.d
COPY boot /usr/local/sbin/lab-boot
CMD ["/bin/sh", "/usr/local/sbin/lab-boot"]

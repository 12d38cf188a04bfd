# The same as a machine that systemd runs, from process 1 on, with cron and the
# units of databases.
ARG BASE
FROM $BASE
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    systemd systemd-sysv dbus cron postgresql redis-server openssl socat && rm -rf /var/lib/apt/lists/*
# A kernel may lack what these units ask of it.
COPY unbox.conf /etc/systemd/system/redis-server.service.d/lab.conf
CMD ["/sbin/init"]

# The same with a Docker engine and Compose v1.
ARG BASE
FROM $BASE
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    docker.io docker-compose && rm -rf /var/lib/apt/lists/*
COPY dockerd-boot /etc/lab-boot.d/10-dockerd

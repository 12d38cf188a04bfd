# The same with database servers, none of which runs by itself: see lab-db.
ARG BASE
FROM $BASE
RUN mkdir -p /etc/postgresql-common && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
    && apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    postgresql mariadb-server redis-server socat openssl && rm -rf /var/lib/apt/lists/*
COPY lab-db /usr/local/sbin/lab-db
RUN chmod +x /usr/local/sbin/lab-db && lab-db templates

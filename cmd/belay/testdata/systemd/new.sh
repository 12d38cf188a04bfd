# A fresh server: the databases are installed, with administrators of their own.
set -eu
cd /
mkdir -p /var/log/jobs; chmod 1777 /var/log/jobs
su postgres -c psql >/dev/null <<'Q'
alter user postgres password 'pw-new';
Q
sed -i '1i requirepass pw-redis-new' /etc/redis/redis.conf
systemctl restart redis-server

# A small server as people make them by hand: a program under systemd with its
# secrets in a file, two timers, a crontab, /etc/cron.d, /etc/cron.daily, a site
# with a certificate of its own and one of certbot's, PostgreSQL and Redis.
set -eu
groupadd --gid 985 shop
useradd --uid 986 --gid shop --system --home-dir /var/lib/shop --shell /usr/sbin/nologin shop
useradd --uid 1500 --create-home --shell /bin/bash app
usermod --append --groups shop app
mkdir -p /opt/shop/bin /etc/shop /etc/ssl/shop /srv/www/shop /var/log/jobs
install -d -o shop -g shop -m 750 /var/lib/shop
chmod 1777 /var/log/jobs

# The program: it answers with what it knows of its secret and of its files.
cat >/opt/shop/bin/shop <<'P'
#!/usr/bin/perl
use strict; use IO::Socket::INET;
my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 9, ReuseAddr => 1) or die "port: $!";
while (my $c = $s->accept) {
  while (<$c>) { last if /^\r?$/ }
  open my $f, '<', "$ENV{DATA}/orders"; my $orders = join '', <$f>;
  print $c "HTTP/1.0 200 OK\r\n\r\nsecret of ", length $ENV{SHOP_SECRET}, " letters, mode $ENV{MODE}, orders $orders";
  close $c;
}
P
cat >/opt/shop/bin/echo <<'P'
#!/usr/bin/perl
use IO::Socket::INET;
my $s = IO::Socket::INET->new_from_fd(3, "r+");
while (my $c = $s->accept) { print $c "echo\n"; close $c }
P
# Every job tells where and when it ran.
cat >/opt/shop/bin/job <<'J'
#!/bin/sh
umask 0
echo "$(date +%s.%N) $(id -un) $*" >>"/var/log/jobs/$1"
if [ "$1" = slow ]; then
  until [ -e /var/log/jobs/enough ]; do sleep 0.2; done
  echo "$(date +%s.%N) $(id -un) slow done" >>/var/log/jobs/slow
fi
J
chmod 755 /opt/shop/bin/*
printf 'precious\n' >/var/lib/shop/orders; chown shop:shop /var/lib/shop/orders
head -c 300000 /dev/urandom >/var/lib/shop/blob; ln /var/lib/shop/blob /var/lib/shop/blob.hard; ln -s blob /var/lib/shop/blob.link
printf 'PORT=8090\nDATA=/var/lib/shop\nSHOP_SECRET="s3cret with spaces"\n' >/etc/shop/shop.env
chown root:shop /etc/shop/shop.env; chmod 640 /etc/shop/shop.env

unit() { cat >"/etc/systemd/system/$1"; }
unit shop.service <<'U'
[Unit]
Description=The shop
After=network.target
[Service]
User=shop
EnvironmentFile=/etc/shop/shop.env
ExecStart=/usr/bin/perl /opt/shop/bin/shop
Restart=on-failure
[Install]
WantedBy=multi-user.target
U
mkdir -p /etc/systemd/system/shop.service.d
printf '[Service]\nEnvironment=MODE=dropin\n' >/etc/systemd/system/shop.service.d/mode.conf
# Runs, but is not to run after a boot.
unit worker.service <<'U'
[Service]
User=app
WorkingDirectory=/opt/shop
ExecStart=/bin/sh -c 'while :; do /opt/shop/bin/job worker; sleep 1; done'
[Install]
WantedBy=multi-user.target
U
unit tick.service <<'U'
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
User=app
ExecStart=/opt/shop/bin/job tick
U
unit tick.timer <<'U'
[Timer]
OnCalendar=*:*:*
AccuracySec=1us
[Install]
WantedBy=timers.target
U
# Once a year, and made up for if the machine was off: it is due.
unit yearly.service <<'U'
[Service]
Type=oneshot
User=app
StateDirectory=yearly
ExecStart=/opt/shop/bin/job yearly
U
unit yearly.timer <<'U'
[Timer]
OnCalendar=yearly
Persistent=true
[Install]
WantedBy=timers.target
U
# Started by whoever connects, and kept by it.
unit echo.socket <<'U'
[Socket]
ListenStream=127.0.0.1:8091
Accept=no
[Install]
WantedBy=sockets.target
U
unit echo.service <<'U'
[Service]
User=app
EnvironmentFile=-/etc/environment
ExecStart=/opt/shop/bin/echo
U
# A timer whose work takes long, one that nobody enabled, and one that is masked.
unit slow.service <<'U'
[Service]
Type=oneshot
ExecStart=/opt/shop/bin/job slow
U
unit slow.timer <<'U'
[Timer]
OnCalendar=*:0/30
[Install]
WantedBy=timers.target
U
unit never.service <<'U'
[Service]
Type=oneshot
ExecStart=/opt/shop/bin/job never
U
unit never.timer <<'U'
[Timer]
OnCalendar=*:*:*
AccuracySec=1us
[Install]
WantedBy=timers.target
U
systemctl daemon-reload
systemctl mask --now dpkg-db-backup.timer 2>&1
systemctl enable --now shop.service tick.timer yearly.timer slow.timer echo.socket 2>&1
systemctl start echo.service
systemctl start worker.service
systemctl stop yearly.timer
touch -d '400 days ago' /var/lib/systemd/timers/stamp-yearly.timer

printf '%s\n' '# what app does' 'MAILTO=""' 'PATH=/opt/shop/bin:/usr/bin:/bin' 'GREETING="hello there"' '* * * * * job crontab "$GREETING" $(date +\%H)' \
  '@daily cat >/var/log/jobs/stdin%first%second' | crontab -u app -
printf '%s\n' 'MAILTO=root' 'PATH=/opt/shop/bin:/usr/bin:/bin' '* * * * * app job crond' >/etc/cron.d/shop
printf '#!/bin/sh\n/opt/shop/bin/job crondaily\n' >/etc/cron.daily/shop-clean; chmod 755 /etc/cron.daily/shop-clean

openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=shop.test -keyout /etc/ssl/shop/key.pem -out /etc/ssl/shop/cert.pem 2>/dev/null
chmod 600 /etc/ssl/shop/key.pem
echo '<h1>shop</h1>' >/srv/www/shop/index.html
cat >/etc/nginx/sites-available/shop <<'N'
server {
  listen 443 ssl;
  server_name shop.test;
  ssl_certificate /etc/ssl/shop/cert.pem;
  ssl_certificate_key /etc/ssl/shop/key.pem;
  root /srv/www/shop;
  include snippets/shop.conf;
  location /api { proxy_pass http://127.0.0.1:8090; add_header X-Shop $shop_mark; }
}
N
ln -s ../sites-available/shop /etc/nginx/sites-enabled/shop
printf 'map $uri $shop_mark { default of-the-map; }\n' >/etc/nginx/conf.d/shop-map.conf
mkdir /var/log/shopweb
printf 'access_log /var/log/shopweb/access.log;\nauth_basic off;\n' >/etc/nginx/snippets/shop.conf
# As certbot leaves them: links into the archive.
cd /etc && mkdir -p letsencrypt/live/www.test letsencrypt/archive/www.test letsencrypt/renewal && cd letsencrypt
openssl req -x509 -newkey rsa:2048 -nodes -days 60 -subj "/O=Let's Encrypt/CN=www.test" -keyout archive/www.test/privkey1.pem -out archive/www.test/fullchain1.pem 2>/dev/null
chmod 600 archive/www.test/privkey1.pem; chmod 700 archive live
for f in privkey fullchain; do ln -s ../../archive/www.test/${f}1.pem live/www.test/$f.pem; done
printf '[renewalparams]\nauthenticator = webroot\n' >renewal/www.test.conf
cat >/etc/nginx/conf.d/www.conf <<'N'
server {
  listen 443 ssl;
  server_name www.test;
  ssl_certificate /etc/letsencrypt/live/www.test/fullchain.pem;
  ssl_certificate_key /etc/letsencrypt/live/www.test/privkey.pem;
  return 200 "of www\n";
}
N
systemctl reload-or-restart nginx

cd /
su postgres -c psql >/dev/null <<'Q'
alter user postgres password 'pw-old';
create role shop login password 'pw-shop';
create table notes (what text);
insert into notes values ('in postgres itself');
create database shop owner shop;
\c shop
set role shop;
create table orders (id serial primary key, what text);
insert into orders (what) select 'order ' || i from generate_series(1, 500) i;
Q
sed -i '1i requirepass pw-redis-old' /etc/redis/redis.conf
systemctl restart redis-server
redis-cli --no-auth-warning -a pw-redis-old mset cart:1 apple cart:2 pear >/dev/null

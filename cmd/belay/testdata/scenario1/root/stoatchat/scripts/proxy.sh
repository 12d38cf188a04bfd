#!/bin/bash
# stoatchat proxy service: the port that nginx talks to
cd "$(dirname "$0")/.." || exit 1
exec busybox httpd -f -p 8088 -h /root/stoatchat/www

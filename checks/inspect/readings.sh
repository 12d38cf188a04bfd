# What the second round trip reads, in POSIX sh; see checks.Reading for what
# the sections may use. Nothing here writes, and no value of an environment is
# printed. Words in @ are filled in.
tab=$(printf '\t')
show() { case $1 in *"$nl"*) return 1 ;; esac; printf '%s\n' "$1"; }

# envkeys FILE NAME prints "f NAME" and "k KEY" for each, or "x NAME". A line
# inside of a quoted value, of a key in PEM or after a backslash is no key.
envkeys() {
	[ -e "$1" ] || return 0
	case $2 in *"$nl"*) return 0 ;; esac
	if [ ! -f "$1" ] || [ ! -r "$1" ]; then printf 'x %s\n' "$2"; return 0; fi
	printf 'f %s\n' "$2"
	keep 262144 <"$1" | {
		q= pem= more=
		while IFS= read -r l || [ -n "$l" ]; do
			if [ -n "$q" ]; then closes "$l" && q=; continue; fi
			was=$more more=
			case $l in *\\) more=1 ;; esac
			[ -z "$was" ] || continue
			if [ -n "$pem" ]; then case $l in *'-----END '*) pem= ;; esac; continue; fi
			case $l in *'-----BEGIN '*'-----END '*) ;; *'-----BEGIN '*) pem=1 ;; esac
			while :; do case $l in ' '* | "$tab"*) l=${l#?} ;; 'export '*) l=${l#export } ;; *) break ;; esac; done
			case $l in *=*) ;; *) continue ;; esac
			k=${l%%=*} v=${l#*=}
			case $k in '' | [0-9]* | *[!A-Za-z0-9_]*) continue ;; esac
			[ ${#k} -le 64 ] || continue
			# The end of something in base64 looks like a key without a value.
			case $v in '' | '=') case $k in ????????????????????*) case $k in *[a-z]*) continue ;; esac ;; esac ;; esac
			printf 'k %s\n' "$k"
			case $v in \"* | \'*) q=${v%"${v#?}"}; closes "${v#?}" && { q= more=; } ;; esac
			[ -z "$q" ] || pem= more=
		done
	}
}
closes() {
	c=$1
	while :; do case $c in *'\"'*) c=${c%%'\"'*}${c#*'\"'} ;; *) break ;; esac; done
	case $c in *"$q"*) return 0 ;; esac
	return 1
}

# as PID CMD … runs a program as who runs that process: whoever serves a socket
# should not talk to a program of root's.
as() {
	as_p=$1; shift
	as_u=$(ls -ldn /proc/$as_p | { read -r _ _ u g _ && printf '%s %s' "$u" "$g"; })
	if [ "$(id -u)" = 0 ] && [ "${as_u%% *}" != 0 ]; then
		has setpriv && [ -n "$as_u" ] || return 1
		lim 4 setpriv --reuid "${as_u%% *}" --regid "${as_u##* }" --clear-groups "$@"
	else
		lim 4 "$@"
	fi
}

# ngx MODE FILE PREFIX DEPTH reads an nginx configuration and what it includes:
# nginx -T would do the same, but opens (and makes) log files.
ngx() {
	case $seen in *"$nl$2$nl"*) return 0 ;; esac
	seen=$seen$2$nl
	show "$2" >/dev/null || return 0
	[ -r "$2" ] || { [ "$1" != files ] || printf 'x %s\n' "$2"; return 0; }
	if [ "$1" = files ]; then
		printf '=%s\n' "$2"
		[ ! -L "$2" ] || ! has readlink || printf 'l %s\n' "$(readlink -f "$2")"
		keep 262144 <"$2" | while IFS= read -r l || [ -n "$l" ]; do printf '\t%s\n' "$l"; done
	fi
	while IFS= read -r l || [ -n "$l" ]; do
		l=${l%%#*}
		case $l in
		*include[\ $tab]*';'*) g=${l#*include} ;;
		*ssl_certificate[\ $tab]*';'*) [ "$1" = certs ] || continue; g=${l#*ssl_certificate} ;;
		*) continue ;;
		esac
		g=${g%%;*}
		while :; do case $g in [\ $tab\"\']*) g=${g#?} ;; *[\ $tab\"\']) g=${g%?} ;; *) break ;; esac; done
		case $g in '' | *'$'*) continue ;; /*) ;; *) g=$3/$g ;; esac
		case $l in *ssl_certificate[\ $tab]*) cert "$g"; continue ;; esac
		[ "$4" -lt 6 ] || continue
		ngx_ifs=$IFS; IFS=$nl
		for i in $g; do
			IFS=$ngx_ifs
			[ ! -f "$i" ] || ngx "$1" "$i" "$3" $(($4 + 1))
		done
		IFS=$ngx_ifs
	done <"$2"
}
ngxall() {
	ngx_mode=$1; shift
	while [ $# -gt 1 ]; do [ ! -e "$1" ] || ngx "$ngx_mode" "$1" "$2" 0; shift 2; done
}

# cert FILE prints the first certificate of a file, and never a key.
certs_seen=$nl certs_n=0
cert() {
	case $certs_seen in *"$nl$1$nl"*) return 0 ;; esac
	certs_seen=$certs_seen$1$nl
	show "$1" >/dev/null && [ -e "$1" ] && [ $certs_n -lt 80 ] || return 0
	certs_n=$((certs_n + 1))
	[ -f "$1" ] && [ -r "$1" ] || { printf 'x %s\n' "$1"; return 0; }
	printf '=%s\n' "$1"
	on= n=0
	while IFS= read -r l; do
		case $l in *'-----BEGIN CERTIFICATE-----'*) on=1 ;; esac
		[ -z "$on" ] || printf '%s\n' "$l"
		case $l in *'-----END CERTIFICATE-----'*) break ;; esac
		n=$((n + 1)); [ $n -lt 2000 ] || break
	done <"$1"
}

#: procs
[ -r /proc/self/stat ] && has ls || { miss "there is no ls, or no /proc"; return; }
# Few programs are started here and below: on a busy host each costs its turn.
if has grep; then lim 8 grep -e '^0::' -e ':name=systemd:' /proc/[0-9]*/cgroup; else note cgroups "there is no grep"; fi
lim 8 ls -l /proc/[0-9]*/exe /proc/[0-9]*/cwd
true

#: environ
has tr || { miss "there is no tr to read /proc with"; return; }
for p in @PIDS@; do
	if [ -r /proc/$p/environ ]; then
		# Nobody there knows the mark, so no variable can pass for it.
		printf '\000@%s %s\000' "$mark" $p
		keep 131072 </proc/$p/environ
	elif [ -d /proc/$p ]; then
		printf '\000x%s %s\000' "$mark" $p
	fi
done | tr '\000\n' '\n ' | while IFS= read -r l; do
	case $l in
	"@$mark "*) printf '@%s\n' "${l##* }" ;;
	"x$mark "*) printf 'x %s\n' "${l##* }" ;;
	*=*)
		k=${l%%=*}
		case $k in '' | [0-9]* | *[!A-Za-z0-9_]*) ;; *) [ ${#k} -gt 64 ] || printf 'k %s\n' "$k" ;; esac
		;;
	esac
done

#: open
has ls && has grep || { miss "there is no ls or no grep"; return; }
set --
for p in @PIDS@; do
	if [ -r /proc/$p/fd ]; then set -- "$@" /proc/$p/fd
	elif [ -d /proc/$p ]; then printf 'x %s\n' $p; fi
done
# Its own directory too, for ls names directories only when there are several.
[ $# -eq 0 ] || lim 6 ls -l "$@" /proc/$$/fd | grep -e '^/proc/' -e ' -> /' | grep -v -e ' -> /dev/' -e ' -> /proc/' -e ' -> /sys/' -e ' -> /memfd:'
true

#: dirs
indir() {
	printf '=%s\n' "$2"
	n=0
	for f in "$1"/*.conf "$1"/*.toml "$1"/*.yaml "$1"/*.yml "$1"/*.json "$1"/*.ini "$1"/*.cfg "$1"/*.cnf "$1"/*.properties "$1"/*.xml; do
		[ -f "$f" ] && [ $n -lt 25 ] || continue
		case ${f##*/} in package-lock.json | tsconfig*.json | *"$nl"*) continue ;; esac
		n=$((n + 1))
		printf 'c %s\n' "${f##*/}"
	done
	for f in "$1"/.env "$1"/.env.* "$1"/*.env; do envkeys "$f" "$2/${f##*/}"; done
}
seen=$nl
for p in @PIDS@; do
	# -P has PWD say where that is, without a program to ask.
	cd -P /proc/$p/cwd || continue
	d=$PWD
	case $d in / | *"$nl"* | /proc* | /usr/* | /tmp | /run*) continue ;; /*) ;; *) continue ;; esac
	case $seen in *"$nl$d$nl"*) continue ;; esac
	# Inside of a container the same name is another directory.
	in=
	while IFS= read -r l; do case $l in *docker/* | *docker-* | *libpod* | *kubepods* | *cri-*) in=1 ;; esac; done </proc/$p/cgroup
	[ -z "$in" ] || continue
	seen=$seen$d$nl
	indir . "$d"
done
for d in @DIRS@; do
	case $seen in *"$nl$d$nl"*) continue ;; esac
	[ ! -d "$d" ] || indir "$d" "$d"
done
true

#: units
set -- @UNITS@
# What somebody wrote for this host is shown, running or not; a link is a unit
# of elsewhere, or masks one.
for f in /etc/systemd/system/*.service /etc/systemd/system/*.timer /etc/systemd/system/*.socket /etc/systemd/system/*.path; do
	[ -f "$f" ] && [ ! -L "$f" ] && [ $# -lt 700 ] || continue
	case ${f##*/} in -* | *@.* | *"$nl"*) ;; *) set -- "$@" "${f##*/}" ;; esac
done
n=0
for f in /home/*/.config/systemd/user/*.* /root/.config/systemd/user/*.* /etc/systemd/user/*.*; do
	[ -f "$f" ] && [ ! -L "$f" ] && [ $n -lt 50 ] || continue
	case $f in *"$nl"*) ;; *.service | *.timer | *.socket | *.path) n=$((n + 1)); printf 'UserUnit=%s\n' "$f" ;; esac
done
printf '\n'
[ $# -gt 0 ] || return 0
# What a timer starts is mostly not running now, and not enabled.
started=$(
	set -- @TIMERS@
	[ $# -eq 0 ] || lim 10 systemctl show --no-pager --value -p Unit -- "$@"
)
units_ifs=$IFS; IFS=$nl
for u in $started; do case $u in [!-]*.service) set -- "$@" "$u" ;; esac; done
IFS=$units_ifs
{ lim 20 systemctl show --no-pager -p Id,MainPID,ExecStart,User,WorkingDirectory,StateDirectory,ConfigurationDirectory,EnvironmentFiles,FragmentPath,DropInPaths,LoadState,ActiveState,UnitFileState,ControlGroup,TriggeredBy,Unit,TimersCalendar,TimersMonotonic,Persistent,Result -- "$@" || note units "systemctl does not answer"; } | while IFS= read -r l; do
	printf '%s\n' "$l"
	case $l in
	EnvironmentFiles=/*) l=${l#*=}; l=${l%% \(ignore_errors=*}; envkeys "$l" "$l" ;;
	StateDirectory=*) for d in ${l#*=}; do [ -d "/var/lib/$d" ] || printf 'Absent=/var/lib/%s\n' "$d"; done ;;
	ConfigurationDirectory=*) for d in ${l#*=}; do [ -d "/etc/$d" ] || printf 'Absent=/etc/%s\n' "$d"; done ;;
	WorkingDirectory=*/*) l=/${l#*/}; [ -d "$l" ] || printf 'Absent=%s\n' "$l" ;;
	ExecStart=*path=/*) l=${l#*path=}; l=${l%% ;*}; [ -x "$l" ] || printf 'Gone=%s\n' "$l" ;;
	esac
done
true

#: containers
lim 8 docker inspect --type container -f @FORMAT@ @CONTAINERS@ || note some "docker inspect did not answer for all of them"

#: nginx
seen=$nl
ngxall files @NGINX@
true

#: certs
seen=$nl
ngxall certs @NGINX@
for f in @CERTS@ /etc/letsencrypt/live/*/fullchain.pem /var/lib/acme/*/fullchain.pem /var/lib/caddy/.local/share/caddy/certificates/*/*/*.crt /root/.local/share/caddy/certificates/*/*/*.crt; do
	cert "$f"
done
[ ! -d /etc/letsencrypt/live ] || [ -x /etc/letsencrypt/live ] || printf 'x %s\n' /etc/letsencrypt/live
for f in /etc/apache2/sites-enabled/* /etc/httpd/conf.d/*.conf /etc/haproxy/haproxy.cfg /etc/postgresql/*/*/postgresql.conf /etc/mysql/mariadb.conf.d/*.cnf /etc/dovecot/conf.d/*.conf /etc/postfix/main.cf; do
	[ -f "$f" ] && [ -r "$f" ] || continue
	while IFS= read -r l; do
		l=${l%%#*}
		case $l in *_key* | *-key* | *.key* | *KeyFile*) continue ;; esac
		case $l in *SSLCertificateFile* | *' crt '* | *ssl_cert_file* | *ssl-cert* | *ssl_cert* | *smtpd_tls_cert_file* | *smtpd_tls_chain_files*) ;; *) continue ;; esac
		case $l in */*) l=/${l#*/}; l=${l%%[\ \'\"$tab\;,]*}; cert "$l" ;; esac
	done <"$f"
done
true

#: links
if has ss; then
	printf '=tcp\n'
	lim 5 ss -tnp || note tcp "ss does not answer"
	printf '=unix\n'
	lim 5 ss -xap || note unix "ss does not answer"
elif has netstat; then
	printf '=netstat\n'
	lim 5 netstat -tnp || note tcp "netstat does not answer"
else
	miss "there is neither ss nor netstat"
fi

#: stores
has ls && has readlink && has id || { miss "there is no ls, readlink or id"; return; }
cd / || return
unset PGSERVICE PGHOSTADDR PGHOST PGUSER PGDATABASE PGPASSWORD REDISCLI_AUTH
PGPASSFILE=/dev/null PGCONNECT_TIMEOUT=3 PGOPTIONS='-c default_transaction_read_only=on -c statement_timeout=3000'
export PGPASSFILE PGCONNECT_TIMEOUT PGOPTIONS
for p in @POSTGRES@; do
	printf '=postgresql %s\n' $p
	d=$(readlink /proc/$p/cwd) && show "dir $d" || continue
	v=; IFS= read -r v <"$d/PG_VERSION" && printf 'version %s\n' "$v"
	sock= port= n=0
	while IFS= read -r l; do
		n=$((n + 1))
		case $n in 4) port=$l ;; 5) sock=$l ;; esac
	done <"$d/postmaster.pid"
	[ -n "$port" ] || { printf 'denied %s\n' "its data directory cannot be read"; continue; }
	printf 'port %s\n' "$port"
	has psql || { printf 'denied %s\n' "there is no psql there"; continue; }
	[ -n "$sock" ] || sock=127.0.0.1
	# Every server has a database postgres; what people have put into it is told, too.
	q="select line from (select 0 as part, datname::text as name, 'db ' || coalesce(case when has_database_privilege(datname, 'CONNECT') then pg_database_size(oid) end, -1) || ' ' || replace(datname, chr(10), ' ') as line
	from pg_database where not datistemplate
	union all (select 1, '', 'own ' || replace(n.nspname || '.' || c.relname, chr(10), ' ') from pg_class c join pg_namespace n on n.oid = c.relnamespace
	where c.relkind in ('r', 'p', 'm') and n.nspname <> 'information_schema' and n.nspname not like 'pg\\_%' and not exists (select 1 from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e') order by 3 limit 100)) x order by part, name, line"
	r=
	for u in '' '-Upostgres'; do
		r=$(as $p psql -X -w -At -h "$sock" -p "$port" ${u:+"$u"} -d postgres -c "$q" 2>/dev/null) && [ -n "$r" ] && break
	done
	if [ -n "$r" ]; then printf '%s\n' "$r" | keep 20000; else printf 'denied %s\n' "it lets nobody in without a password"; fi
done
for p in @MYSQL@; do
	printf '=mysql %s\n' $p
	d=$(readlink /proc/$p/cwd) && show "dir $d" || continue
	[ -r "$d" ] && [ -x "$d" ] || { printf 'denied %s\n' "its data directory cannot be read"; continue; }
	for f in "$d"/*/; do
		f=${f%/}; f=${f##*/}
		case $f in '*' | '#'* | *"$nl"* | mysql | sys | performance_schema | information_schema | lost+found) continue ;; esac
		printf 'db -1 %s\n' "$f"
	done
done
for a in @REDIS@; do
	p=${a%%:*} port=${a##*:} a=${a#*:} a=${a%:*}
	printf '=redis %s\n' $p
	d=$(readlink /proc/$p/cwd) && show "dir $d"
	printf 'port %s\n' "$port"
	if has redis-cli; then c=redis-cli; elif has valkey-cli; then c=valkey-cli; else printf 'denied %s\n' "there is no redis-cli there"; continue; fi
	r=$(as $p $c -h "$a" -p "$port" info 2>&1 | keep 20000)
	case $r in
	*redis_version:*) printf '%s\n' "$r" | while IFS= read -r l; do case $l in redis_version:* | valkey_version:* | config_file:* | db[0-9]*:*) printf 'i %s\n' "$l" ;; esac; done ;;
	*) printf 'denied %s\n' "it lets nobody in without a password, or speaks TLS" ;;
	esac
done
true

#: packages
if has dpkg-query; then
	lim 8 dpkg-query -W -f '${db:Status-Abbrev}${Package} ${Version}\n' || note some "dpkg-query does not answer"
elif has rpm; then
	lim 8 rpm -qa --qf 'ii %{NAME} %{VERSION}-%{RELEASE}\n' || note some "rpm does not answer"
elif has apk; then
	lim 8 apk info -v | while IFS= read -r l; do
		r=${l##*-}; n=${l%-*}; printf 'ii %s %s-%s\n' "${n%-*}" "${n##*-}" "$r"
	done
elif has pacman; then
	lim 8 pacman -Q | while IFS= read -r l; do printf 'ii %s\n' "$l"; done
else
	miss "there is no dpkg, rpm, apk or pacman"
fi

#: accounts
[ -r /etc/passwd ] || { miss "/etc/passwd cannot be read"; return; }
pass /etc/passwd
printf '=group\n'
[ ! -r /etc/group ] || pass /etc/group

#: origin
has ls || { miss "there is no ls"; return; }
set --
for p in @PIDS@; do set -- "$@" /proc/$p/exe; done
[ $# -gt 0 ] || return 0
lim 5 ls -l "$@" | {
	set --
	seen=$nl
	# Files of cron too; it passes over other names.
	for e in /etc/cron.d/* /etc/cron.hourly/* /etc/cron.daily/* /etc/cron.weekly/* /etc/cron.monthly/*; do
		case ${e##*/} in *[!A-Za-z0-9_-]*) continue ;; esac
		[ -f "$e" ] && [ $# -lt 60 ] || continue
		case $e in /etc/cron.d/*) ;; *) [ -x "$e" ] || continue ;; esac
		printf 'e %s\n' "$e"
		set -- "$@" "$e"
	done
	while IFS= read -r l; do
		case $l in *' -> /'*) e=/${l#*' -> /'} ;; *) continue ;; esac
		case $e in *' (deleted)') continue ;; esac
		case $seen in *"$nl$e$nl"*) continue ;; esac
		seen=$seen$e$nl
		[ -e "$e" ] && [ $# -lt 120 ] || continue
		printf 'e %s\n' "$e"
		set -- "$@" "$e"
		case $e in /usr/*) set -- "$@" "${e#/usr}" ;; esac
	done
	[ $# -gt 0 ] || exit 0
	if has dpkg-query; then
		printf '=dpkg\n'
		lim 8 dpkg-query -S "$@"
	elif has rpm; then
		printf '=rpm\n'
		for e; do r=$(lim 3 rpm -qf --qf '%{NAME}' "$e") && printf '%s: %s\n' "$r" "$e"; done
	elif has apk; then
		printf '=apk\n'
		for e; do r=$(lim 3 apk info -q -W "$e") && printf '%s: %s\n' "${r##* }" "$e"; done
	fi
}
true

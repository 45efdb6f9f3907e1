#!/bin/sh
# usage: install.sh PROGRAM MAN-DIRECTORY
# Places the program and what belongs to it beneath $DESTDIR, which may be empty for this very machine. What somebody else has
# placed under the initscript's names stays; so does a configuration that is there. Nothing is enabled or started.
set -eu

program=$1 pages=$2
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR-}

# put MODE FILE PATH
put() {
    install -D -m "$1" "$2" "$root$3"
}

# A relative link at PATH, unless something stands there that isn't that link.
link() { # TARGET PATH
    if [ -e "$root$2" ] || [ -L "$root$2" ]; then
        if [ "$(readlink "$root$2" || true)" != "$1" ]; then
            echo "$2 is taken: left alone" >&2
        fi
        return
    fi
    mkdir -p "$(dirname "$root$2")"
    ln -s "$1" "$root$2"
}

# put_own FILE PATH: 644, unless somebody else's file is there.
put_own() {
    if [ -e "$root$2" ] && ! grep -q stap-bundle "$root$2"; then
        echo "$2 is taken: left alone" >&2
        return
    fi
    put 644 "$1" "$2"
}

put 755 "$program" /usr/bin/stap-bundle
link ../../bin/stap-bundle /usr/libexec/stap-bundle/systemtap
link ../bin/stap-bundle /usr/sbin/systemtap

for unit in stap-bundle.service stap-bundle-settled.service stap-bundle-settled.timer; do
    put 644 "$here/$unit" "/usr/lib/systemd/system/$unit"
done
# The name that `systemctl start systemtap` has; it also keeps the init script of that name from being made a unit.
link stap-bundle.service /usr/lib/systemd/system/systemtap.service
put 755 "$here/stap-bundle.init" /etc/init.d/stap-bundle
link stap-bundle /etc/init.d/systemtap

put 644 "$here/stap-bundle.preset" /usr/lib/systemd/system-preset/90-stap-bundle.preset
put 644 "$here/tmpfiles.conf" /usr/lib/tmpfiles.d/stap-bundle.conf
put 644 "$here/sysusers.conf" /usr/lib/sysusers.d/stap-bundle.conf
put 644 "$here/logrotate.conf" /etc/logrotate.d/stap-bundle
if [ ! -e "$root/etc/systemtap/config" ]; then
    put 644 "$here/config" /etc/systemtap/config
fi
for directory in /etc/systemtap/conf.d /etc/systemtap/script.d /etc/stap-bundle/trust /var/lib/stap-bundle /var/cache/systemtap; do
    install -d -m 755 "$root$directory"
done

# Compile servers: the host program has none (30). Systemtap's own package, which brings the daemon, has a stap-server too, in /usr/bin.
code=0
"$program" server status >/dev/null 2>&1 || code=$?
if [ "$code" != 30 ]; then
    link ../../bin/stap-bundle /usr/libexec/stap-bundle/stap-server
    link ../bin/stap-bundle /usr/sbin/stap-server
    put_own "$here/farm/stap-server.service" /usr/lib/systemd/system/stap-server.service
    put 644 "$here/farm/sysusers.conf" /usr/lib/sysusers.d/stap-bundle-server.conf
    link stap-bundle-server.1 /usr/share/man/man1/stap-server.1
fi

for page in "$pages"/*.1; do
    put 644 "$page" "/usr/share/man/man1/$(basename "$page")"
done
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
for shell in bash zsh fish; do
    "$program" completions "$shell" >"$made/$shell"
done
put 644 "$made/bash" /usr/share/bash-completion/completions/stap-bundle
put 644 "$made/zsh" /usr/share/zsh/site-functions/_stap-bundle
put 644 "$made/fish" /usr/share/fish/vendor_completions.d/stap-bundle.fish
# bash and fish look for a file of the command's name.
servers=
[ "$code" = 30 ] || servers=stap-server
for name in systemtap $servers; do
    link stap-bundle "/usr/share/bash-completion/completions/$name"
    link stap-bundle.fish "/usr/share/fish/vendor_completions.d/$name.fish"
done

#!/bin/sh
# usage: install.sh PROGRAM PAGES COMPLETIONS
# Places the program, its manual pages, its completions and what else belongs to it beneath $DESTDIR, which may be empty for this very
# machine; $prefix is /usr. What somebody else has placed under the initscript's names stays; so does a configuration that is there.
# Nothing is enabled or started.
set -eu

program=$1 pages=$2 completions=$3
here=$(cd "$(dirname "$0")" && pwd)
root=${DESTDIR-}
prefix=${prefix:-/usr}

# put MODE FILE PATH
put() {
    install -D -m "$1" "$2" "$root$3"
}

# put_with_paths MODE FILE PATH: with the program where the prefix has it.
put_with_paths() {
    put "$1" "$2" "$3"
    [ "$prefix" = /usr ] || sed -i "s#/usr/\(bin\|libexec\)/#$prefix/\1/#g" "$root$3"
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
    put_with_paths 644 "$1" "$2"
}

put 755 "$program" "$prefix/bin/stap-bundle"
link ../../bin/stap-bundle "$prefix/libexec/stap-bundle/systemtap"
link ../bin/stap-bundle "$prefix/sbin/systemtap"

for unit in stap-bundle.service stap-bundle-late.service stap-bundle-settled.service stap-bundle-settled.timer stap-bundle-inbox.path stap-bundle-inbox.service; do
    put_with_paths 644 "$here/$unit" "$prefix/lib/systemd/system/$unit"
done
# The name that `systemctl start systemtap` has; it also keeps the init script of that name from being made a unit.
link stap-bundle.service "$prefix/lib/systemd/system/systemtap.service"
put_with_paths 755 "$here/stap-bundle.init" /etc/init.d/stap-bundle
link stap-bundle /etc/init.d/systemtap

put_with_paths 755 "$here/kernel/postinst.d" /etc/kernel/postinst.d/stap-bundle
put_with_paths 755 "$here/kernel/90-stap-bundle.install" "$prefix/lib/kernel/install.d/90-stap-bundle.install"

put_with_paths 755 "$here/initramfs-tools/hook" "$prefix/share/initramfs-tools/hooks/stap-bundle"
put_with_paths 755 "$here/initramfs-tools/init-premount" "$prefix/share/initramfs-tools/scripts/init-premount/stap-bundle"
for file in module-setup.sh start.sh; do
    put_with_paths 755 "$here/dracut/$file" "$prefix/lib/dracut/modules.d/90stap-bundle/$file"
done

put 644 "$here/stap-bundle.preset" "$prefix/lib/systemd/system-preset/90-stap-bundle.preset"
put 644 "$here/tmpfiles.conf" "$prefix/lib/tmpfiles.d/stap-bundle.conf"
put 644 "$here/sysusers.conf" "$prefix/lib/sysusers.d/stap-bundle.conf"
put 644 "$here/logrotate.conf" /etc/logrotate.d/stap-bundle
if [ ! -e "$root/etc/systemtap/config" ]; then
    put 644 "$here/config" /etc/systemtap/config
fi
for directory in /etc/systemtap/conf.d /etc/systemtap/script.d /etc/stap-bundle/trust /var/lib/stap-bundle/inbox /var/cache/systemtap; do
    install -d -m 755 "$root$directory"
done

for section in 1 5; do
    for page in "$pages"/*."$section"; do
        put 644 "$page" "$prefix/share/man/man$section/$(basename "$page")"
    done
done
put 644 "$completions/bash" "$prefix/share/bash-completion/completions/stap-bundle"
put 644 "$completions/zsh" "$prefix/share/zsh/site-functions/_stap-bundle"
put 644 "$completions/fish" "$prefix/share/fish/vendor_completions.d/stap-bundle.fish"

# Compile servers: the host program has none, and no page of them. Systemtap's own package, which brings the daemon, has a stap-server
# too, in /usr/bin.
servers=
if [ -e "$pages/stap-bundle-server.1" ]; then
    servers=stap-server
    link ../../bin/stap-bundle "$prefix/libexec/stap-bundle/stap-server"
    link ../bin/stap-bundle "$prefix/sbin/stap-server"
    put_own "$here/farm/stap-server.service" "$prefix/lib/systemd/system/stap-server.service"
    put 644 "$here/farm/sysusers.conf" "$prefix/lib/sysusers.d/stap-bundle-server.conf"
    link stap-bundle-server.1 "$prefix/share/man/man1/stap-server.1"
fi
# bash and fish look for a file of the command's name.
for name in systemtap $servers; do
    link stap-bundle "$prefix/share/bash-completion/completions/$name"
    link stap-bundle.fish "$prefix/share/fish/vendor_completions.d/$name.fish"
done

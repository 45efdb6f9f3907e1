#!/bin/sh
# In the initramfs, before the root file system is looked for; dracut reads it into its own shell. Whatever becomes of it, the boot goes on.
[ ! -x /usr/bin/stap-bundle ] || /usr/bin/stap-bundle start --onboot </dev/null >/dev/null 2>&1 || :

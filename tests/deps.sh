#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# deps.sh PACKAGE...: installs with apt what is missing; without the right to, prints the command and fails.
# A word a/b means either package will do (the first that apt knows is installed).
set -u

missing=()
for word in "$@"; do
    IFS='/' read -ra either <<<"$word"
    found=0
    for p in "${either[@]}"; do
        case $(dpkg-query -W -f='${Status}' "$p" 2>/dev/null) in *" installed") found=1 ;; esac
    done
    [ $found = 1 ] || missing+=("$word")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "deps: these packages (Debian's names) are missing and there is no apt-get here: ${missing[*]%%/*}" >&2
    exit 77
fi

sudo=()
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
        sudo=(sudo)
    else
        echo "deps: run this as root, then call make again:" >&2
        echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]%%/*}" >&2
        exit 77
    fi
fi

export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq || echo "deps: apt-get update failed; trying with the lists that are here" >&2
names=()
for word in "${missing[@]}"; do
    IFS='/' read -ra either <<<"$word"
    pick=${either[0]}
    for p in "${either[@]}"; do
        if apt-cache show "$p" >/dev/null 2>&1; then pick=$p; break; fi
    done
    names+=("$pick")
done
echo "deps: installing ${names[*]}" >&2
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${names[@]}" >/dev/null

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The man pages: every tool and command of rn-bench has one, every option of its --help is in it, and roff finds nothing wrong.
. "$RNKIT_TESTS/tap.sh"
make=$(realpath "$RNKIT_TESTS/../docs/man/make.sh")

exits "the pages are made" 0 "$make" "$RNKIT_BIN" man
for tool in ilsvrc-verify ilsvrc-extract pack-lmdb mkilsvrc rn-train rn-bench; do
    check "$tool has a page" test -s "man/$tool.1"
done
check "rn-bench's commands have theirs" test -s man/rn-bench-conv.1 -a -s man/rn-bench-peak.1 -a -s man/rn-bench-loader.1

# missing PAGE: the options of the tool's help that the page does not explain
missing() {
    local page=$1 command=$1 o
    case $page in rn-bench-*) command="rn-bench ${page#rn-bench-}" ;; rn-train-*) command="rn-train ${page#rn-train-}" ;; esac
    # shellcheck disable=SC2086
    for o in $("$RNKIT_BIN/"$command --help | grep -oE '^  --[a-z0-9-]+'); do
        grep -qF "\\fB${o//-/\\-}\\fR" "man/$page.1" || echo "$page: no $o"
    done
}
seen=0
for page in man/*.1; do
    name=$(basename "$page" .1)
    missing "$name" >lacking.txt
    check "$name explains every option" test ! -s lacking.txt
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS'; do
        grep -qE "^\.SH \"?$section\"?\$" "$page" || echo "$name: no $section" >>sections.txt
    done
    seen=$((seen + 1))
done
touch sections.txt
cat sections.txt >&2
check "all of them have their sections" test ! -s sections.txt
check "there are nine pages at least" test $seen -ge 9
check "an exit status stands alone" grep -qxF '\fB2\fR' man/ilsvrc-verify.1
check "examples are kept as they are" grep -qxF 'ilsvrc\-verify raw \-\-structure \-\-json' man/ilsvrc-verify.1

if command -v groff >/dev/null; then
    for page in man/*.1; do
        groff -man -Tutf8 -ww -z "$page" 2>&1
    done >roff.txt
    cat roff.txt >&2
    check "groff has no warning" test ! -s roff.txt
else
    skip "groff has no warning" "groff is not installed"
fi
if command -v mandoc >/dev/null; then
    mandoc -Tlint -Wwarning man/*.1 | grep -v 'missing date' >lint.txt
    cat lint.txt >&2
    check "mandoc has no warning" test ! -s lint.txt
else
    skip "mandoc has no warning" "mandoc is not installed"
fi
finish

# SPDX-License-Identifier: MIT
# A tool's --help to a page of man(7). -v name=pack-lmdb -v version="rnkit 0.1.0" -v see="rn-bench(1), ..."
# The help text has a fixed form (libcore/base/rn_opt_help.c): usage lines, a summary, headings over "  --option ARG   text" rows,
# "Common options:", and an epilog of paragraphs, of which "Examples:", "Commands:" and "Exit...:" get sections of their own.

function escaped(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    return text
}

# A line must not begin as a request does.
function plain(text) {
    text = escaped(text)
    return (text ~ /^[.\047]/ ? "\\&" : "") text
}

# The same with long options in bold.
function roff(text,    out) {
    out = text ~ /^[.\047]/ ? "\\&" : ""
    while (match(text, /--[a-z0-9][a-z0-9-]*/)) {
        out = out escaped(substr(text, 1, RSTART - 1)) "\\fB" escaped(substr(text, RSTART, RLENGTH)) "\\fR"
        text = substr(text, RSTART + RLENGTH)
    }
    return out escaped(text)
}

function option(head, text,    word, arg) {
    word = head
    arg = ""
    if (match(head, / /)) {
        word = substr(head, 1, RSTART - 1)
        arg = substr(head, RSTART + 1)
    }
    options = options ".TP\n\\fB" plain(word) "\\fR" (arg != "" ? " \\fI" plain(arg) "\\fR" : "") "\n" roff(text) "\n"
}

function flush_option() {
    if (head != "")
        option(head, text)
    head = text = ""
}

# One more line of flowing text; a blank line begins a paragraph.
function flow(sofar, line) {
    return sofar (line == "" ? (sofar == "" || sofar ~ /\.PP\n$/ ? "" : ".PP\n") : roff(line) "\n")
}

BEGIN { state = "usage" }

state == "usage" {
    if ($0 ~ /^(Usage:|      ) /) {
        line = substr($0, 8)
        usage[++nusage] = line
        next
    }
    state = "summary"
    next
}

state == "summary" && /^[A-Z].*:$/ { state = "options" }
state == "summary" {
    summary = summary (summary == "" || summary ~ /\n$/ ? "" : " ") ($0 == "" ? "\n" : $0)
    next
}

state == "options" && /^[A-Z].*:$/ {
    flush_option()
    common = $0 == "Common options:"
    heading = substr($0, 1, length($0) - 1)
    options = options (heading == "Options" ? "" : ".SS " plain(heading) "\n")
    next
}
state == "options" && /^  --/ {
    flush_option()
    if (match($0, /^  --[^ ]+( [^ ]+)?(  +|$)/)) {
        head = substr($0, 3, RLENGTH - 2)
        sub(/ +$/, "", head)
        text = substr($0, RLENGTH + 1)
    }
    next
}
state == "options" && /^ +[^ ]/ {
    line = $0
    sub(/^ +/, "", line)
    text = text (text == "" ? "" : " ") line
    next
}
state == "options" && /^$/ {
    flush_option()
    if (common)
        state = "epilog"
    next
}

state == "epilog" && /^(Examples|Commands):$/ { state = $1; next }
(state == "Examples:" || state == "Commands:") && /^  / {
    if (state == "Examples:")
        examples = examples plain(substr($0, 3)) "\n"
    else
        commands = commands plain(substr($0, 3)) "\n"
    next
}
state ~ /^(Examples|Commands):$/ { state = "epilog" }
state == "epilog" || state == "exit" {
    if ($0 ~ /^Exit[a-z ]*: /) {
        state = "exit"
        sub(/^Exit[a-z ]*: /, "")
    }
    if (state == "exit")
        codes = codes (codes == "" ? "" : " ") $0
    else
        notes = flow(notes, $0)
}

END {
    flush_option()
    if (summary == "" || options == "") {
        print name ": this help text has no form that is known" >"/dev/stderr"
        exit 1
    }
    gsub(/ *\n+ */, "\n", summary)
    sub(/\n$/, "", summary)
    first = summary
    sub(/[.](\n.*| .*)?$/, "", first)
    if (first ~ /^[A-Z][a-z]/)
        first = tolower(substr(first, 1, 1)) substr(first, 2)
    printf ".\\\" Made from `%s --help` by docs/man/man.awk.\n.TH %s 1 \"\" \"%s\" \"User Commands\"\n", command, toupper(name), version
    printf ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.nf\n", plain(name), plain(first)
    for (i = 1; i <= nusage; i++) {
        line = usage[i]
        printf "\\fB%s\\fR%s\n", plain(command), plain(substr(line, length(command) + 1))
    }
    print ".fi\n.SH DESCRIPTION"
    n = split(summary, paragraph, "\n")
    for (i = 1; i <= n; i++)
        if (paragraph[i] != "")
            printf "%s%s\n", (i > 1 ? ".PP\n" : ""), roff(paragraph[i])
    if (commands != "")
        printf ".SH COMMANDS\n.nf\n%s.fi\n", commands
    printf ".SH OPTIONS\n%s", options
    sub(/(\.PP\n)+$/, "", notes)
    if (notes != "")
        printf ".SH NOTES\n%s", notes
    if (codes != "") {
        print ".SH \"EXIT STATUS\""
        kept = "" # "0 done, 1 failed, or a mismatch was found; 2 misuse": a part that begins with no number belongs to the one before
        while (match(codes, /[,;] (or )?[0-9]+ /)) {
            at = RSTART
            rest = substr(codes, at + 1)
            sub(/^ (or )?/, "", rest)
            kept = kept substr(codes, 1, at - 1) "\n"
            codes = rest
        }
        kept = kept codes
        sub(/\.$/, "", kept)
        n = split(kept, code, "\n")
        for (i = 1; i <= n; i++) {
            match(code[i], /^[0-9]+/)
            printf ".TP\n\\fB%s\\fR\n%s\n", substr(code[i], 1, RLENGTH), roff(substr(code[i], RLENGTH + 2))
        }
    }
    if (examples != "")
        printf ".SH EXAMPLES\n.EX\n%s.EE\n", examples
    printf ".SH \"SEE ALSO\"\n%s\n", see
}

/* SPDX-License-Identifier: MIT */
/*
 * Private to libcore/base: the one owner of stderr. Log lines and the progress bar both go through
 * here, under one lock, so that neither tears the other. No escape sequences: a shorter bar is
 * padded with blanks over the longer one before it, which every terminal understands.
 */
#ifndef RN_TERM_H
#define RN_TERM_H

#include <stdbool.h>

bool rn_term_is_tty(void); /* stderr is a terminal */
int rn_term_width(void);   /* columns of the terminal, 80 when it cannot be told */

/* One whole line (no '\n' in it); takes the bar off first and puts it back below. */
void rn_term_line(const char *text);

/* Draws or replaces the bar; NULL takes it off. Only for terminals. */
void rn_term_bar(const char *text);

#endif

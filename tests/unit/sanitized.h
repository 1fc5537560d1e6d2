/* SPDX-License-Identifier: MIT */
/* SANITIZED: 1 in a build with the address or the thread sanitizer, whose shadow of what is used is memory of the process, too, as is
 * what they keep back of what was freed. */
#ifndef SANITIZED_H
#define SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

#endif

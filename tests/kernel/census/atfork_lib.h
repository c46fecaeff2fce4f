/* SPDX-License-Identifier: MIT */
/* Fork handlers that write one letter each into a line; the program owns the line. */
#ifndef LAB_ATFORK_LIB_H
#define LAB_ATFORK_LIB_H

#include <pthread.h>

/* In libatfork_user.so, which program and preloads share. */
extern __attribute__((visibility("default"))) char lab_atfork_log[64];
__attribute__((visibility("default"))) void lab_atfork_add(char letter);

/* Capital: prepare; small: after the fork, in the parent or in the child. */
#define LAB_ATFORK_HANDLERS(letter)                   \
	static void atfork_prepare(void)              \
	{                                             \
		lab_atfork_add((letter) - 'a' + 'A'); \
	}                                             \
	static void atfork_after(void)                \
	{                                             \
		lab_atfork_add(letter);               \
	}

#define LAB_ATFORK_REGISTER() pthread_atfork(atfork_prepare, atfork_after, atfork_after)

#endif

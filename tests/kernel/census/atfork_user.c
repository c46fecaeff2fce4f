/* SPDX-License-Identifier: MIT */
/*
 * A library that the program links, and that registers handlers in its
 * constructor, as allocators do.  Also the keeper of the line.
 */
#include <string.h>

#include "atfork_lib.h"

char lab_atfork_log[64];

void lab_atfork_add(char letter)
{
	size_t n = strlen(lab_atfork_log);

	if (n + 1 < sizeof(lab_atfork_log)) {
		lab_atfork_log[n] = letter;
		lab_atfork_log[n + 1] = '\0';
	}
}

LAB_ATFORK_HANDLERS('u')

__attribute__((constructor)) static void start(void)
{
	LAB_ATFORK_REGISTER();
}

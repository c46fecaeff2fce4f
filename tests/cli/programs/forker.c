/* SPDX-License-Identifier: MIT */
/*
 * forker N: forks N children one after the other, each of which writes
 * a page of its parent's and ends.  Says "static was here" when it is linked so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char pages[16 * 4096] = { 1 };

int main(int argc, char **argv)
{
#ifdef FORKER_STATIC
	puts("static was here");
	return argc > 1 ? atoi(argv[1]) : 0;
#endif
	for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1); i++) {
		pid_t pid;

		pages[4096] = (char)i;
		pid = fork();
		if (pid < 0)
			return 1;
		if (!pid) {
			pages[8192] = 1;
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The order of pthread_atfork handlers: prepare handlers run in the reverse order
 * of registration, parent and child handlers in the order of registration; the
 * one registered first runs first in the child and last before the fork.
 *
 * Can a preloaded library be the first?  Its constructor runs after those of the
 * libraries that the program links (they are loaded later and initialised
 * earlier), so usually it is not; marked DF_1_INITFIRST it is.  And registrations
 * go through __register_atfork, which a preloaded library can interpose.
 *
 * This program runs itself with the libraries atfork_first.so (INITFIRST) and
 * atfork_plain.so (the same without) preloaded in turn; it links atfork_user.so,
 * whose constructor registers too.  Each handler adds its letter to a line: m of
 * the program, u of the linked library, f and p of the preloads, capital before the
 * fork.  A line is the parent's log, the child's, and how many registrations the
 * preload saw pass.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"
#include "atfork_lib.h"

LAB_ATFORK_HANDLERS('m')

/* Runs in a copy of this program: one line "prepare parent child". */
static int show(void)
{
	char child[64] = "";
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	LAB_ATFORK_REGISTER();
	lab_atfork_log[0] = '\0';
	if (pipe(fds) < 0)
		return 1;
	pid = fork();
	if (pid == 0) {
		n = write(fds[1], lab_atfork_log, strlen(lab_atfork_log));
		_exit(n < 0);
	}
	waitpid(pid, &status, 0);
	n = read(fds[0], child, sizeof(child) - 1);
	/* The child's log begins with the prepare handlers', as does the parent's. */
	printf("%s %s %s\n", lab_atfork_log, n > 0 ? child : "-",
	       getenv("LAB_ATFORK_SEEN") ? getenv("LAB_ATFORK_SEEN") : "0");
	return 0;
}

static void run(const char *self, const char *preload, char *ret, size_t len)
{
	char cmd[4096];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "LD_PRELOAD='%s' '%s' show", preload, self);
	f = popen(cmd, "r");
	if (!f || !fgets(ret, (int)len, f))
		lab_die("running %s", cmd);
	pclose(f);
	ret[strcspn(ret, "\n")] = '\0';
}

int main(int argc, char **argv)
{
	char line[256], *dir, path[2048];

	if (argc > 1 && strcmp(argv[1], "show") == 0)
		return show();
	dir = strdup(argv[0]);
	if (strrchr(dir, '/'))
		*strrchr(dir, '/') = '\0';
	else
		strcpy(dir, ".");

	run(argv[0], "", line, sizeof(line));
	printf("no preload:        %s\n", line);
	check(strcmp(line, "MUum MUum 0") == 0, "order without a preload");
	snprintf(path, sizeof(path), "%s/libatfork_plain.so", dir);
	run(argv[0], path, line, sizeof(line));
	printf("plain preload:     %s\n", line);
	check(strcmp(line, "MPUupm MPUupm 3") == 0, "the plain preload is not second");
	snprintf(path, sizeof(path), "%s/libatfork_first.so", dir);
	run(argv[0], path, line, sizeof(line));
	printf("INITFIRST preload: %s\n", line);
	check(strcmp(line, "MUFfum MUFfum 3") == 0, "the INITFIRST preload is not first");
	return lab_result();
}

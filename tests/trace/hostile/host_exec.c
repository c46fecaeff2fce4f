/* SPDX-License-Identifier: MIT */
/*
 * Programs that execute others, with environments that know nothing of the
 * recording, and execs that fail.
 */
#include <fcntl.h>

#include "host.h"

extern char **environ;

static char self[4096];

/* Two hundred and more variables: a list that is too long for a small copy. */
static char **many_variables(void)
{
	static char text[600][16];
	static char *list[601];
	int i;

	for (i = 0; i < 600; i++) {
		snprintf(text[i], sizeof(text[i]), "V%d=%d", i, i);
		list[i] = text[i];
	}
	return list;
}

/* Executes this program again, as stage n + 1, by another function each time. */
static void run_stage(int n)
{
	static char *none[] = { NULL };
	static char *foreign[] = { (char *)"LD_PRELOAD=libpthread.so.0", (char *)"X=1", NULL };
	char next[12];
	char *argv[] = { self, (char *)"chain", next, self, NULL };
	int fd;

	snprintf(next, sizeof(next), "%d", n + 1);
	if (n > 0)
		touch_memory(1);
	switch (n) {
	case 0:
		execve(self, argv, none);
		break;
	case 1:
		clearenv();
		execv(self, argv);
		break;
	case 2:
		execle(self, self, "chain", next, self, NULL, none);
		break;
	case 3:
		clearenv();
		execl(self, self, "chain", next, self, NULL);
		break;
	case 4:
		clearenv();
		execlp(self, self, "chain", next, self, NULL);
		break;
	case 5:
		clearenv();
		execvp(self, argv);
		break;
	case 6:
		execvpe(self, argv, foreign);
		break;
	case 7:
		check(getenv("LD_PRELOAD") && strstr(getenv("LD_PRELOAD"), "libpthread.so.0"));
		check(getenv("X") && !strcmp(getenv("X"), "1"));
		fd = open(self, O_RDONLY | O_CLOEXEC);
		fexecve(fd, argv, none);
		break;
	case 8:
		execveat(AT_FDCWD, self, argv, NULL, 0);
		break;
	case 9:
		execve(self, argv, many_variables());
		break;
	case 10:
		check(getenv("V0") && getenv("V599") && !strcmp(getenv("V599"), "599"));
		puts("chain is over");
		exit(0);
	}
	check(!"exec returned");
}

static void run_chain(void)
{
	run_stage(0);
}

static void run_fail(void)
{
	char *argv[] = { (char *)"x", NULL };
	char *const *bad = (char *const *)8;
	char *bad_string[] = { (char *)16, NULL };
	static char huge[3 << 20];
	char *huge_argv[] = { huge, huge, huge, NULL };

	memset(huge, 'x', sizeof(huge) - 1);
#define fails(call, why)             \
	do {                         \
		errno = 0;           \
		check(call == -1);   \
		check(errno == why); \
	} while (0)
	fails(execve("/nonexistent", argv, environ), ENOENT);
	fails(execve("/etc/passwd/x", argv, environ), ENOTDIR);
	fails(execve("/etc", argv, environ), EACCES);
	fails(execve((char *)24, argv, environ), EFAULT);
	fails(execve(NULL, argv, environ), EFAULT);
	fails(execve("/bin/true", bad, environ), EFAULT);
	fails(execve("/bin/true", argv, bad), EFAULT);
	fails(execve("/bin/true", argv, bad_string), EFAULT);
	fails(execve("/bin/true", huge_argv, environ), E2BIG);
	fails(execv("/nonexistent", argv), ENOENT);
	fails(execvp("nonexistent-command", argv), ENOENT);
	fails(execlp("nonexistent-command", "x", NULL), ENOENT);
	fails(execl("/nonexistent", "x", NULL), ENOENT);
	fails(execle("/nonexistent", "x", NULL, environ), ENOENT);
	fails(fexecve(-1, argv, environ), EINVAL);
	fails(execveat(-1, "x", argv, environ, 0), EBADF);
	fails(execveat(AT_FDCWD, "/bin/true", argv, environ, 0x40000000), EINVAL);
	touch_memory(1);
}

static void run_vforkexec(void)
{
	char *none[] = { NULL };
	char *argv[] = { self, (char *)"chain", (char *)"10", self, NULL };
	char **many = many_variables();
	int i;

	for (i = 0; i < 10; i++) {
		pid_t pid = vfork();

		if (!pid) {
			execve("/nonexistent", argv, none);
			execve("/bin/true", argv, i & 1 ? none : many);
			_exit(90);
		}
		check(wait_for(pid) == 0);
	}
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "chain", run_chain },
		{ "fail", run_fail },
		{ "vforkexec", run_vforkexec },
		{ NULL, NULL },
	};

	if (argc > 3) {
		strncpy(self, argv[3], sizeof(self) - 1);
		run_stage(atoi(argv[2]));
	}
	check(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	return host_main(cases, argc, argv);
}

/* SPDX-License-Identifier: MIT */
/*
 * A write to a unit that a relative shares since a fork splits the mapping and copies
 * 4 KiB; the relative keeps its huge mapping.  With the relative gone it is reused whole.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static pid_t relative(void)
{
	pid_t pid = fork();

	if (pid < 0)
		lab_die("fork");
	if (!pid)
		for (;;)
			pause();
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static char *shared(char *unit)
{
	pid_t pid = relative();

	unit[7 * PAGE] = 2;
	end(pid);
	return unit;
}

/* The second page of a unit that is small by now splits nothing. */
static char *shared_many(char *unit)
{
	pid_t pid = relative();

	for (size_t i = 0; i < 512; i += 3)
		unit[i * PAGE] = 2;
	end(pid);
	return unit;
}

static char *shared_no_more(char *unit)
{
	end(relative());
	unit[7 * PAGE] = 2;
	return unit;
}

static char *child_writes(char *unit)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		unit[7 * PAGE] = 2;
		_exit(unit_is_huge(unit));
	}
	waitpid(pid, &status, 0);
	check(pid > 0 && status == 0, "the child's unit stayed huge");
	return unit;
}

int main(void)
{
	unit_check("write while shared", shared, (struct want){ 1, 0, false });
	unit_check("171 writes while shared", shared_many, (struct want){ 1, 0, false });
	unit_check("write when the relative has gone", shared_no_more, (struct want){ 0, 0, true });
	unit_check("write by the child", child_writes, (struct want){ 1, 0, true });
	return lab_result();
}

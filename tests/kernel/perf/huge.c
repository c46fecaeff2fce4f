/* SPDX-License-Identifier: MIT */
/*
 * Of a huge page that a child shares, each small page's first write is a fault of its
 * own; of one that nobody shares any more the first write is one fault for all 512.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

static uint32_t write_all(char *unit)
{
	uint32_t nr = 0;

	for (size_t i = 0; i < 512; i++)
		nr += trap_store(unit + i * PAGE);
	return nr;
}

int main(void)
{
	char *unit = lab_map_huge(2);
	int fd, pipes[2];
	uint32_t nr;
	pid_t pid;
	char c;

	trap_init(unit, 1024);
	lab_fill(unit, 1024, 1);
	if (pipe(pipes))
		lab_die("pipe");
	fd = trap_open((struct trap_opts){ .disabled = true });
	pid = fork();
	if (pid == 0) {
		close(pipes[1]);
		_exit((int)read(pipes[0], &c, 1));
	}
	trap_enable(fd);
	trap_reset();
	nr = write_all(unit);
	if (nr < 2)
		lab_skip("no huge page was to be had");
	check(nr == 512, "%u faults of a huge page that is shared", nr);
	trap_disable(fd);
	close(pipes[1]);
	waitpid(pid, NULL, 0);

	unit += 512 * PAGE;
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	trap_enable(fd);
	nr = write_all(unit);
	/* Small pages, where the kernel had no huge one: all of them. */
	check(nr == 1 || nr == 512, "%u faults of a huge page that nobody shares", nr);
	return lab_result();
}

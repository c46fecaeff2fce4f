/* SPDX-License-Identifier: MIT */
/*
 * A user without any privilege may have such events of its own threads where
 * perf_event_paranoid is 2 or less, if they exclude the kernel; those that count it
 * are refused at 2.  Skips where the setting is another one.
 */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trap.h"

int main(void)
{
	char text[32], *page = lab_map(4);
	int fd;

	if (!lab_read_text("/proc/sys/kernel/perf_event_paranoid", text, sizeof(text)))
		lab_skip("no perf events");
	if (atoi(text) != 2)
		lab_skip("perf_event_paranoid is %d", atoi(text));
	if (!geteuid() && (setgroups(0, NULL) || setregid(65534, 65534) || setreuid(65534, 65534)))
		lab_skip("another user cannot be had");
	trap_init(page, 4);
	fd = trap_event((struct trap_opts){ .kernel_too = true });
	check(fd == -EACCES || fd == -EPERM, "with the kernel: %s",
	      fd < 0 ? strerror(-fd) : "opened");
	fd = trap_event((struct trap_opts){ 0 });
	check(fd >= 0, "without the kernel: %s", strerror(-fd));
	check(fd < 0 || trap_store(page) == 1, "no signal");
	return lab_result();
}

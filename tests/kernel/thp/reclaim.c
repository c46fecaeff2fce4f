/* SPDX-License-Identifier: MIT */
/*
 * MADV_FREE, MADV_COLD and MADV_PAGEOUT of a part take the huge page itself apart at
 * once; of the whole unit MADV_FREE and MADV_COLD leave it.  A unit that a relative
 * shares is passed over by all three: nothing is lost.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static int advice;
static size_t part;

static char *advise(char *unit)
{
	return madvise(unit + (part == HUGE ? 0 : SMALL), part, advice) ? NULL : unit;
}

static char *advise_shared(char *unit)
{
	pid_t pid = fork();
	char *ret;

	if (!pid)
		for (;;)
			pause();
	ret = advise(unit);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return ret;
}

int main(void)
{
	static const struct {
		int advice;
		const char *part, *shared, *whole;
	} all[] = {
		{ MADV_FREE, "MADV_FREE of a part", "MADV_FREE of a part, shared",
		  "MADV_FREE of all" },
		{ MADV_COLD, "MADV_COLD of a part", "MADV_COLD of a part, shared",
		  "MADV_COLD of all" },
		{ MADV_PAGEOUT, "MADV_PAGEOUT of a part", "MADV_PAGEOUT of a part, shared", NULL },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		advice = all[i].advice;
		part = SMALL;
		unit_check(all[i].part, advise, (struct want){ 1, 1, false });
		unit_check(all[i].shared, advise_shared, (struct want){ 0, 0, true });
		part = HUGE;
		if (all[i].whole)
			unit_check(all[i].whole, advise, (struct want){ 0, 0, true });
	}
	return lab_result();
}

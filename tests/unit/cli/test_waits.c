/* SPDX-License-Identifier: MIT */
/*
 * Is a recorder whose heart stands still stuck, or does the kernel keep it waiting for a
 * clone?  The recorder here is a child that waits in vfork(): as deep in the kernel as
 * one that waits for a lock.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "waits.h"

#define SLOT 7

static struct ct_segment *seg;

static int setup(void **state)
{
	seg = mmap(NULL, sizeof(*seg), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return seg == MAP_FAILED;
}

static int teardown(void **state)
{
	return munmap(seg, sizeof(*seg));
}

static char state_of(pid_t pid)
{
	char path[48], text[256] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	return strrchr(text, ')')[2];
}

/* One that stays in this state until its whole group is killed. */
static pid_t recorder_in(char wanted)
{
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (wanted == 'T')
			raise(SIGSTOP);
		/* The child pauses, and its parent waits for it to exec or to end. */
		if (wanted == 'D' && vfork() == 0)
			prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	setpgid(pid, pid);
	while (state_of(pid) != wanted)
		usleep(1000);
	return pid;
}

static void end(pid_t pid)
{
	kill(-pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void set_cloning(bool cloning)
{
	atomic_store(&seg->slots[SLOT].forks_begun, cloning ? 4 : 3);
	atomic_store(&seg->slots[SLOT].forks_done, 3);
}

static void test_in_the_kernel(void **state)
{
	pid_t pid = recorder_in('D');
	int who;

	for (who = 0; who < 2; who++) {
		atomic_store(&seg->looks_at[who], SLOT + 1);
		set_cloning(true);
		assert_true(ct_waits_for_clone(seg, pid));
		/* Whatever it waits for, it is not that. */
		set_cloning(false);
		assert_false(ct_waits_for_clone(seg, pid));
		set_cloning(true);
		atomic_store(&seg->looks_at[who], SLOT);
		assert_false(ct_waits_for_clone(seg, pid));
		/* A program may write anything there. */
		atomic_store(&seg->looks_at[who], UINT32_MAX);
		assert_false(ct_waits_for_clone(seg, pid));
		atomic_store(&seg->looks_at[who], 0);
		assert_false(ct_waits_for_clone(seg, pid));
	}
	end(pid);
}

/* The clone may be waiting for it. */
static void test_stopped_or_asleep(void **state)
{
	static const char states[] = { 'T', 'S' };
	pid_t pid;
	size_t i;

	for (i = 0; i < sizeof(states); i++) {
		pid = recorder_in(states[i]);
		atomic_store(&seg->looks_at[0], SLOT + 1);
		set_cloning(true);
		assert_false(ct_waits_for_clone(seg, pid));
		end(pid);
		assert_false(ct_waits_for_clone(seg, pid));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_in_the_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopped_or_asleep, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

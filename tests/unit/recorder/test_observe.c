/* SPDX-License-Identifier: MIT */
/*
 * What is believed of a page after a write, and when.  Page map, page flags and the
 * kernel's counters are files of this test's own; the threads are real ones that it
 * has brought to stand, to sleep or to run.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctx_util.h"
#include "recorder/observe.h"
#include "sys/pagemap.h"
#include "sys/pidfd.h"

#define PAGE_NR 10
#define ELSEWHERE 700
#define BEFORE 100 /* the frame under the write */
#define AFTER 200
#define WRITE_NS 1000000000ULL

static struct ct_rec_ctx *c;
static struct ct_proc *p;
static int pagemap, flags, vmstat;

static void set_frame(u64 page, u64 pfn)
{
	const u64 entry = pfn ? pfn | CT_PM_PRESENT : 0;

	assert_int_equal(pwrite(pagemap, &entry, sizeof(entry), (off_t)(page * sizeof(entry))),
			 sizeof(entry));
}

static void set_flags(u64 pfn, u64 value)
{
	assert_int_equal(pwrite(flags, &value, sizeof(value), (off_t)(pfn * sizeof(value))),
			 sizeof(value));
}

static void set_migrated(unsigned int nr)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "pgmigrate_success %u\n", nr);

	assert_int_equal(pwrite(vmstat, text, (size_t)n, 0), n);
	c->activity_ns = 0; /* what was read before is old */
}

static int setup(void **state)
{
	c = ctx_open();
	pagemap = memfd_create("pagemap", MFD_CLOEXEC);
	flags = memfd_create("kpageflags", MFD_CLOEXEC);
	vmstat = memfd_create("vmstat", MFD_CLOEXEC);
	assert_int_equal(ftruncate(pagemap, 1 << 16), 0);
	assert_int_equal(ftruncate(flags, 1 << 16), 0);
	c->kpage.flags_fd = flags; /* closed with the context */
	c->caps.anon_exclusive = true;
	c->caps.kpage = true;
	c->vmstat_fd = vmstat;
	set_migrated(0);
	p = proc_open(c, NULL);
	p->pid = getpid();
	p->pagemap_fd = pagemap; /* closed with the process */
	return 0;
}

static int teardown(void **state)
{
	ctx_close(c);
	close(vmstat);
	return 0;
}

/* A write of PAGE_NR that was let through; its frame was BEFORE. */
static struct ct_seen a_write(void)
{
	return (struct ct_seen){ .type = CT_SEEN_WRITE,
				 .page = PAGE_NR,
				 .pfn = BEFORE,
				 .tid = getpid(),
				 .t_ns = WRITE_NS,
				 .predicted = COWTRACE_UNCERTAIN,
				 .likely = COWTRACE_UNCERTAIN };
}

static enum cowtrace_action look(const struct ct_observe_hints *hints)
{
	const struct ct_seen s = a_write();

	return ct_observe(c, p, &s, NULL, hints);
}

static const struct ct_observe_hints none, again = { .seen_again = true },
					   last = { .last_chance = true };

/* The store may not have been tried again yet. */
static void test_same_frame_means_nothing(void **state)
{
	set_frame(PAGE_NR, BEFORE);
	assert_int_equal(look(&none), COWTRACE_RETRY);
	assert_int_equal(look(&again), COWTRACE_REUSE);
}

static void test_exclusive(void **state)
{
	static const u64 other[] = {
		0,
		~CT_KPF_ANON_EXCLUSIVE & ~(CT_KPF_COMPOUND_HEAD | CT_KPF_COMPOUND_TAIL),
		CT_KPF_ANON_EXCLUSIVE | CT_KPF_COMPOUND_HEAD,
		CT_KPF_ANON_EXCLUSIVE | CT_KPF_COMPOUND_TAIL,
	};
	size_t i;

	set_frame(PAGE_NR, BEFORE);
	for (i = 0; i < ct_array_size(other); i++) {
		set_flags(BEFORE, other[i]);
		assert_int_equal(look(&none), COWTRACE_RETRY);
	}
	set_flags(BEFORE, CT_KPF_ANON_EXCLUSIVE | CT_KPF_ANON | CT_KPF_LRU);
	assert_int_equal(look(&none), COWTRACE_REUSE);
	/* A kernel that has no such flag has something else in that place. */
	c->caps.anon_exclusive = false;
	assert_int_equal(look(&none), COWTRACE_RETRY);
	/* Nor is it believed where it cannot be read. */
	c->caps.anon_exclusive = true;
	c->kpage.flags_fd = -1;
	assert_int_equal(look(&none), COWTRACE_RETRY);
	close(flags);
}

/* In pause(), and not on its way there. */
static bool is_pausing(pid_t pid)
{
	char path[48], text[16] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	return atoi(text) == SYS_pause;
}

/* A child that sleeps (S), runs (R) or stands still (T), for good. */
static pid_t child(char wanted)
{
	_Atomic bool *ready =
		mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct ct_proc_status st = { 0 };
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		*ready = true;
		if (wanted == 'T')
			raise(SIGSTOP);
		while (wanted == 'R')
			;
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	do {
		usleep(1000);
		assert_int_equal(ct_proc_status_read(pid, &st), 0);
	} while (!*ready || (wanted == 'T' && !st.stopped) || (wanted == 'S' && !is_pausing(pid)));
	munmap((void *)ready, CT_PAGE_SIZE);
	return pid;
}

static void bury(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* With nothing more to come: one that waits for something else has passed its store. */
static void test_last_chance(void **state)
{
	static const struct {
		char how;
		enum cowtrace_action answer;
	} cases[] = {
		{ 'T', COWTRACE_UNCERTAIN },
		{ 'R', COWTRACE_UNCERTAIN },
		{ 'S', COWTRACE_REUSE },
	};
	struct ct_seen s = a_write();
	size_t i;

	set_frame(PAGE_NR, BEFORE);
	for (i = 0; i < ct_array_size(cases); i++) {
		s.tid = child(cases[i].how);
		assert_int_equal(ct_observe(c, p, &s, NULL, &last), cases[i].answer);
		/* Asleep or not: before that it is too early. */
		assert_int_equal(ct_observe(c, p, &s, NULL, &none), COWTRACE_RETRY);
		bury(s.tid);
		/* Gone: it has not stopped before its store. */
		assert_int_equal(ct_observe(c, p, &s, NULL, &last), COWTRACE_REUSE);
		assert_int_equal(ct_observe(c, p, &s, NULL, &none), COWTRACE_RETRY);
	}
	/* The process itself has gone: nothing can be read of its page. */
	assert_int_equal(ct_observe(c, NULL, &s, NULL, &last), COWTRACE_UNCERTAIN);
	assert_int_equal(ct_observe(c, NULL, &s, NULL, &again), COWTRACE_RETRY);
}

static void test_reading_of_one_that_stands_still(void **state)
{
	struct ct_image *same = image_of_pages((u64[]){ BEFORE }, PAGE_NR, 1);
	struct ct_image *other = image_of_pages((u64[]){ AFTER }, PAGE_NR, 1);
	struct ct_image *without = image_of_pages((u64[]){ AFTER }, ELSEWHERE, 1);
	const struct ct_seen s = a_write();

	/* Whatever lies there by now. */
	set_frame(PAGE_NR, AFTER + 1);
	assert_int_equal(ct_observe(c, p, &s, same, &none), COWTRACE_REUSE);
	assert_int_equal(ct_observe(c, p, &s, other, &none), COWTRACE_COPY);
	/* What the reading does not hold is looked at itself. */
	assert_int_equal(ct_observe(c, p, &s, without, &none), COWTRACE_COPY);
	set_frame(PAGE_NR, 0);
	assert_int_equal(ct_observe(c, p, &s, without, &none), COWTRACE_RETRY);
	ct_image_unref(same);
	ct_image_unref(other);
	ct_image_unref(without);
}

static void test_another_frame(void **state)
{
	struct ct_observe_hints hints = none;
	struct ct_seen s = a_write();

	set_frame(PAGE_NR, AFTER);
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_COPY);
	/* Something else has moved pages since: believed where it was foreseen. */
	set_migrated(3);
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_UNCERTAIN);
	s.likely = COWTRACE_COPY;
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_COPY);
	s.likely = COWTRACE_UNCERTAIN;
	s.predicted = COWTRACE_COPY;
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_COPY);
	s.predicted = COWTRACE_REUSE;
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_UNCERTAIN);
	/* Moved before the write was taken in: nothing to do with it. */
	hints.moved = ct_observe_moved(c);
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_COPY);
	p->ksm_eyes = true;
	assert_int_equal(ct_observe(c, p, &s, NULL, &hints), COWTRACE_UNCERTAIN);
}

static void test_nothing_there(void **state)
{
	struct ct_seen s = a_write();
	u64 file = AFTER | CT_PM_PRESENT | CT_PM_FILE;

	set_frame(PAGE_NR, 0);
	assert_int_equal(look(&none), COWTRACE_RETRY);
	assert_int_equal(look(&again), COWTRACE_RETRY);
	assert_int_equal(look(&last), COWTRACE_UNCERTAIN);
	/* A file's page in its place is no copy. */
	assert_int_equal(pwrite(pagemap, &file, sizeof(file), PAGE_NR * sizeof(file)),
			 sizeof(file));
	assert_int_equal(look(&last), COWTRACE_UNCERTAIN);
	/* What lay there before is not known, and never will be. */
	s.pfn = 0;
	set_frame(PAGE_NR, AFTER);
	assert_int_equal(ct_observe(c, p, &s, NULL, &none), COWTRACE_UNCERTAIN);
}

static void test_zero_page(void **state)
{
	struct ct_seen s = a_write();

	s.flags = CT_SEEN_ZERO;
	set_frame(PAGE_NR, BEFORE);
	/* Nobody reuses the zero page, whoever was seen again. */
	assert_int_equal(ct_observe(c, p, &s, NULL, &again), COWTRACE_RETRY);
	set_frame(PAGE_NR, AFTER);
	assert_int_equal(ct_observe(c, p, &s, NULL, &none), COWTRACE_ALLOC_ZEROED);
}

static void test_window(void **state)
{
	struct ct_seen s = a_write();

	/* Its frames were compared when it was told. */
	s.flags = CT_SEEN_WINDOW;
	set_frame(PAGE_NR, BEFORE);
	assert_int_equal(ct_observe(c, p, &s, NULL, &none), COWTRACE_COPY);
}

static void set_drops(struct ct_drop *v, u32 nr)
{
	p->drops = v;
	p->nr_drops = nr;
}

/* Unmapped and touched again after the write: another frame is no copy of it. */
static void test_dropped_since(void **state)
{
	struct ct_drop d = {
		.end_ns = WRITE_NS, .page = PAGE_NR - 1, .pages = 2, .to = CT_DROPPED
	};

	set_frame(PAGE_NR, AFTER);
	set_drops(&d, 1);
	assert_int_equal(look(&none), COWTRACE_UNCERTAIN);
	/* Before the write: what was written was there afterwards. */
	d.end_ns = WRITE_NS - 1;
	assert_int_equal(look(&none), COWTRACE_COPY);
	/* Its neighbours. */
	d.end_ns = WRITE_NS;
	d.page = PAGE_NR + 1;
	assert_int_equal(look(&none), COWTRACE_COPY);
	d.page = PAGE_NR - 2;
	assert_int_equal(look(&none), COWTRACE_COPY);
	set_drops(NULL, 0);
}

static void test_moved_since(void **state)
{
	struct ct_drop v[2] = {
		{ .end_ns = WRITE_NS + 1, .page = PAGE_NR - 3, .pages = 8, .to = ELSEWHERE - 3 },
		{ .end_ns = WRITE_NS + 2, .page = ELSEWHERE, .pages = 1, .to = CT_DROPPED },
	};

	/* Something else lies in its old place. */
	set_frame(PAGE_NR, AFTER);
	set_frame(ELSEWHERE, BEFORE);
	set_drops(v, 1);
	assert_int_equal(look(&none), COWTRACE_RETRY);
	assert_int_equal(look(&again), COWTRACE_REUSE);
	set_frame(ELSEWHERE, AFTER + 1);
	assert_int_equal(look(&none), COWTRACE_COPY);
	/* And dropped in the new one. */
	set_drops(v, 2);
	assert_int_equal(look(&none), COWTRACE_UNCERTAIN);
	set_drops(NULL, 0);
}

/* The same when it has been taken into account for the fork. */
static void test_moved_and_accounted_for(void **state)
{
	const u64 now = ct_now_ns();
	struct ct_fork *f = fork_open(c, image_of_pages((u64[]){ BEFORE }, PAGE_NR, 1), now, now);
	struct ct_share *s = share_open(f, CT_SIDE_PARENT, p);

	ct_fork_unref(f);
	set_frame(PAGE_NR, AFTER);
	set_frame(ELSEWHERE, BEFORE);
	assert_int_equal(ct_extents_move(&s->extents, PAGE_NR, 1, ELSEWHERE), 0);
	assert_int_equal(look(&none), COWTRACE_RETRY);
	assert_int_equal(look(&again), COWTRACE_REUSE);
	set_frame(ELSEWHERE, AFTER + 1);
	assert_int_equal(look(&none), COWTRACE_COPY);
	/* Extents that no longer speak of this process's pages are not asked. */
	s->frozen = image_of_pages((u64[]){ BEFORE }, PAGE_NR, 1);
	set_frame(ELSEWHERE, BEFORE);
	assert_int_equal(look(&none), COWTRACE_COPY);
	ct_image_unref(s->frozen);
	s->frozen = NULL;
	/* Dropped: whatever lies there now is no copy. */
	assert_int_equal(ct_extents_cut(&s->extents, ELSEWHERE, 1), 0);
	assert_int_equal(look(&none), COWTRACE_UNCERTAIN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_same_frame_means_nothing),
		TEST(test_exclusive),
		TEST(test_last_chance),
		TEST(test_reading_of_one_that_stands_still),
		TEST(test_another_frame),
		TEST(test_nothing_there),
		TEST(test_zero_page),
		TEST(test_window),
		TEST(test_dropped_since),
		TEST(test_moved_since),
		TEST(test_moved_and_accounted_for),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	remove_trace();
	return failed;
}

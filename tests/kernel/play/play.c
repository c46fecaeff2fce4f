/* SPDX-License-Identifier: MIT */
/*
 * play [--exec SLOT] FILE...: plays scenario files on this kernel; one line of
 * JSON for each.  The language is told in docs/cow-generations.md; the other
 * player of it is `cowtrace policy play`.
 *
 * Invariant: a scenario is either played to its end or reported as skipped with
 * the reason; a step is never guessed.
 */
#include "play.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SHARED_FD 200

struct shared *sh;

void skip(const char *fmt, ...)
{
	va_list ap;

	if (sh->skip[0])
		return;
	va_start(ap, fmt);
	vsnprintf(sh->skip, sizeof(sh->skip), fmt, ap);
	va_end(ap);
}

static unsigned long all_huge(void)
{
	unsigned long kb = 0;

	for (int i = 0; i < MAX_PROCS; i++)
		if (sh->procs[i].name[0])
			kb += huge_kb(sh->procs[i].pid);
	return kb / 2048;
}

static void print_step(const struct event *ev, const char *text)
{
	bool touch = word_is(ev, 0, "write") || word_is(ev, 0, "read") ||
		     word_is(ev, 0, "syswrite") || word_is(ev, 0, "poke");
	const struct proc *p = touch ? find_proc(ev->word[1]) : NULL;

	printf("%s{\"line\":%d,\"event\":\"%s\"", run.first ? "" : ",", ev->line, text);
	run.first = false;
	if (p)
		printf(",\"reuse\":%lu,\"copy\":%lu,\"zeroed\":%lu,\"fresh\":%lu,\"copied_huge\":%"
		       "lu",
		       (unsigned long)p->reuse, (unsigned long)p->copy, (unsigned long)p->zeroed,
		       (unsigned long)p->fresh, (unsigned long)p->moved_huge);
	printf(",\"huge\":%lu}", all_huge());
}

static bool parse(char *line, struct event *ev)
{
	char *save = NULL;

	line[strcspn(line, "#\n")] = '\0';
	snprintf(ev->text, sizeof(ev->text), "%s", line);
	ev->nr = 0;
	for (char *w = strtok_r(ev->text, " \t", &save); w && ev->nr < MAX_WORDS;
	     w = strtok_r(NULL, " \t", &save))
		ev->word[ev->nr++] = w;
	return ev->nr > 0;
}

/* The words, one blank apart: what both players report. */
static void joined(const struct event *ev, char *buf, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < ev->nr && at < size; i++)
		at += snprintf(buf + at, size - at, "%s%s", i ? " " : "", ev->word[i]);
}

static void clean_up(void)
{
	for (int i = 0; i < MAX_PROCS; i++)
		if (sh->procs[i].name[0])
			reap(&sh->procs[i]);
	if (run.ksm)
		ksm_stop();
	if (run.swap)
		swap_off();
}

bool play_file(const char *path)
{
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	FILE *f = fopen(path, "re");
	char line[256], text[256];
	struct event ev;

	memset(&run, 0, sizeof(run));
	memset(sh->procs, 0, sizeof(sh->procs));
	sh->skip[0] = '\0';
	run.first = true;
	if (!f) {
		fprintf(stderr, "play: %s: %s\n", path, strerror(errno));
		return false;
	}
	/* "madvise" alone makes a region's kind what it says. */
	setting("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	printf("{\"scenario\":\"%s\",\"steps\":[", base);
	for (ev.line = 1; fgets(line, sizeof(line), f) && !sh->skip[0]; ev.line++) {
		if (!parse(line, &ev))
			continue;
		joined(&ev, text, sizeof(text));
		play_event(&ev);
		if (!run.nodrain)
			drain(run.ksm || run.swap);
		if (!word_is(&ev, 0, "option") && !sh->skip[0])
			print_step(&ev, text);
	}
	fclose(f);
	printf("]");
	if (sh->skip[0])
		printf(",\"skipped\":\"%s\"", sh->skip);
	printf("}\n");
	fflush(stdout);
	clean_up();
	return true;
}

/* One CPU for all: its LRU batches are the only ones that hold the pages. */
static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	sh->cpu = sched_getcpu();
	CPU_SET(sh->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/*
 * khugepaged wakes at once for the first process that wants huge pages, and would
 * collapse what a scenario has just split.  So this one wants some all the time:
 * the others then wait for scan_sleep_millisecs, which is set to hours.
 */
void occupy_khugepaged(void)
{
	char *at = mmap(NULL, 4 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	setting("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs", "36000000");
	if (at == MAP_FAILED)
		return;
	madvise(at, 4 * HUGE, MADV_HUGEPAGE);
	madvise(at, 4 * HUGE, MADV_DONTFORK);
	memset(at, 1, 4 * HUGE);
	usleep(50000);
}

static bool set_up(void)
{
	int fd = memfd_create("play", 0);

	if (fd < 0 || ftruncate(fd, sizeof(*sh)) || dup2(fd, SHARED_FD) < 0)
		return false;
	close(fd);
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
	if (sh == MAP_FAILED)
		return false;
	sh->player = getpid();
	stay_here();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* The dead are nobody's zombies: a call sees at once that they are gone. */
	signal(SIGCHLD, SIG_IGN);
	return host_init();
}

int main(int argc, char **argv)
{
	bool ok = true;

	if (argc == 3 && !strcmp(argv[1], "--exec")) {
		sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED, SHARED_FD, 0);
		if (sh == MAP_FAILED)
			return 1;
		proc_exec_main(atoi(argv[2]));
	}
	if (argc < 2 && getpid() != 1) {
		fprintf(stderr, "usage: play FILE...\n");
		return 2;
	}
	if (!set_up()) {
		fprintf(stderr, "play: no shared memory: %s\n", strerror(errno));
		return 1;
	}
	if (getpid() == 1)
		init_main();
	if (geteuid()) {
		fprintf(stderr, "play: page frames are shown to root only\n");
		return 77;
	}
	if (!keeper_start()) {
		fprintf(stderr, "play: the settings' lock or its keeper: %s\n", strerror(errno));
		return 1;
	}
	occupy_khugepaged();
	for (int i = 1; i < argc; i++)
		ok = play_file(argv[i]) && ok;
	settings_restore();
	return ok ? 0 : 1;
}

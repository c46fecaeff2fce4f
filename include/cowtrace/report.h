/* SPDX-License-Identifier: MIT */
/*
 * Traces of cowtrace, read: libcowtrace-report.  What `cowtrace report` prints,
 * as plain structs.
 *
 *	struct cowtrace_report *r;
 *	char why[COWTRACE_REPORT_WHY_LEN];
 *
 *	if (cowtrace_report_open("redis.cowtrace", NULL, &r, why))
 *		errx(1, "%s", why);
 *	for (size_t i = 0; i < cowtrace_report_nr_forks(r); i++) {
 *		const struct cowtrace_fork *f = cowtrace_report_fork(r, i);
 *
 *		printf("%d: %" PRIu64 " pages\n", f->child_pid, f->parent_side.copied);
 *	}
 *	cowtrace_report_close(r);
 *
 * Units: pages are 4 KiB whatever the kernel's page or folio size, and counts of
 * pages unless their name says otherwise; times are ns since the recording
 * began.  COWTRACE_UNKNOWN stands in any count or time that could not be taken.
 *
 * A page belongs to the newest fork, of those in which its process took part,
 * that shared it.  A side is a process's role in one fork.
 *
 * Everything handed out belongs to the report, stays unchanged and lives until
 * cowtrace_report_close().  A report may be read by many threads at once.
 * Structs may grow at their end in a later version: use them through the
 * pointers given, and do not copy arrays of them by sizeof.
 *
 * Nothing here may be called from a signal handler.
 */
#ifndef COWTRACE_REPORT_H
#define COWTRACE_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COWTRACE_UNKNOWN UINT64_MAX
#define COWTRACE_REPORT_WHY_LEN 512

struct cowtrace_report;

/* In which order call sites of first writes come: most first. */
enum cowtrace_report_sort {
	COWTRACE_SORT_COPIES,
	COWTRACE_SORT_BYTES, /* copied */
	COWTRACE_SORT_REUSES,
	COWTRACE_SORT_STALL,
};

enum cowtrace_report_sides {
	COWTRACE_SIDES_BOTH,
	COWTRACE_SIDES_PARENT,
	COWTRACE_SIDES_CHILD,
};

/* What to leave out.  Zeroed but for sz: nothing. */
struct cowtrace_report_options {
	size_t sz;	 /* sizeof(struct cowtrace_report_options) */
	uint32_t fork;	 /* this fork only; 0: all */
	int32_t process; /* forks in which this pid took part, its regions; 0: all */
	/* Forks that were open at some time in [since_ns, until_ns), and their buckets. */
	uint64_t since_ns;
	uint64_t until_ns; /* 0: no end */
	uint32_t top;	   /* the N forks and regions with most copies; 0: all, in order of id */
	/* Do not look for functions and lines: module and offset are faster. */
	bool no_symbols;
	/* Of the call sites of first writes; nothing else changes. */
	enum cowtrace_report_sort sort;
	enum cowtrace_report_sides sides;
};

/*
 * Reads the trace at path.  options may be NULL; *ret_report is closed by the
 * caller.  Takes the trace as it is now, also while it is being recorded.
 *
 * 0, or with one sentence in why[COWTRACE_REPORT_WHY_LEN] (which may be NULL):
 *   -ENOENT       there is no such file
 *   -EACCES, -EPERM, -EISDIR, -EIO, ...  it cannot be read
 *   -ENODATA      it is empty
 *   -EMEDIUMTYPE  it is not a cowtrace trace
 *   -EBADMSG      it is truncated or damaged
 *   -EPROTO       it was written by a newer cowtrace
 *   -ESRCH        it has no such fork or process as options ask for
 *   -EINVAL       options->sz is of no known version, or sort or sides of no known value
 *   -ENOMEM
 *
 * Cost: about a second for a thousand forks with 100,000 regions, memory four
 * times the file's size; symbols on top of that, once for each call site.  First
 * writes are streamed: half a second for a million, and next to no memory.
 */
int cowtrace_report_open(const char *path, const struct cowtrace_report_options *options,
			 struct cowtrace_report **ret_report, char *why);

/* NULL is fine. */
void cowtrace_report_close(struct cowtrace_report *r);

struct cowtrace_recording {
	size_t nr_args;
	const char *const *command; /* nr_args words, then NULL */
	const char *engine;	    /* "" unknown, as the ones below */
	const char *engine_why;	    /* why this one, where cowtrace chose it; else "" */
	const char *kernel;
	const char *host;
	bool page_frames; /* could be read: copies are exact, else in bounds */
	bool complete;
	const char *why_incomplete; /* "" when complete */
	int writer_pid;		    /* of the process that has the trace open; 0: none */
	uint64_t end_ns;	    /* of the last thing recorded */
	/* Of a recording in many files: this one's number, from 1, and the next one's; else 0. */
	uint32_t file, next_file;
	uint64_t file_start_ns; /* times count from the recording's beginning, not the file's */
	/* Forks that began in an older file, and that go on in the next one; of all forks. */
	size_t nr_carried, nr_going_on;
};
const struct cowtrace_recording *cowtrace_report_recording(const struct cowtrace_report *r);

struct cowtrace_process {
	uint32_t id;	 /* a new image by exec has a new id */
	uint32_t parent; /* its parent's id; 0: the command itself */
	int32_t pid, parent_pid;
	const char *comm, *exe;	   /* "" unknown */
	uint64_t start_ns, end_ns; /* end_ns COWTRACE_UNKNOWN while alive */
	const char *ended;	   /* "exit" "exec" "killed" "running" */
	int32_t wstatus;	   /* as of wait(2); -1 unknown */
	uint32_t depth;		   /* forks between the command and it */
};
size_t cowtrace_report_nr_processes(const struct cowtrace_report *r);
const struct cowtrace_process *cowtrace_report_process(const struct cowtrace_report *r, size_t i);

struct cowtrace_frame {
	const char *function; /* or "module+0xoffset" */
	const char *file;     /* source, NULL unknown */
	int line;	      /* 0 unknown */
	const char *module;   /* path, "" for code without a file */
	uint64_t offset;      /* in the module's file; else the address */
	bool inlined;
};

struct cowtrace_site {
	uint32_t id;
	/* "function (file.c:123)", of the first frame that is no allocator or libc wrapper */
	const char *text;
	const char *caller; /* the function that called it, found likewise; "" unknown */
	uint32_t nr_frames;
	const struct cowtrace_frame *frames; /* leaf first */
	uint32_t deciding;		     /* the frame that text is of */
	bool of_call;			     /* something forked or mapped memory there */
};
/* Of forks, of regions and of first writes, by id. */
size_t cowtrace_report_nr_sites(const struct cowtrace_report *r);
const struct cowtrace_site *cowtrace_report_site(const struct cowtrace_report *r, size_t i);
/* NULL: no such site. */
const struct cowtrace_site *cowtrace_report_site_of(const struct cowtrace_report *r, uint32_t id);

struct cowtrace_side {
	/*
	 * "open" "relative_gone" "exit" "exec" "next_fork" "recording_end" "killed" "timeout",
	 * and "next_file": it goes on in the next file of the recording
	 */
	const char *ended;
	uint64_t t_ns;	     /* of the last reading */
	uint64_t copied;     /* written, and the kernel made a copy */
	uint64_t dropped;    /* unmapped or thrown away */
	uint64_t fresh;	     /* pages that were not shared: touched since the fork */
	uint64_t unknown;    /* changed for another cause: migration, swap, KSM, collapse */
	uint64_t kept;	     /* never written, or written and reused in place */
	uint64_t attributed; /* of the copied, with a call site */
};

struct cowtrace_fork {
	uint32_t id;
	uint32_t parent, child; /* process ids; child 0: it was never seen alive */
	int32_t parent_pid, child_pid;
	uint32_t depth;	       /* of the parent */
	uint32_t site;	       /* 0 unknown */
	const char *site_text; /* "" unknown */
	const char *phase;     /* "" none */
	const char *how;       /* "fork" "_Fork" "clone" */
	uint64_t start_ns, end_ns;
	uint64_t fork_ns; /* the clone alone */
	uint64_t arm_ns;  /* in cowtrace's prepare handler */
	uint64_t event_ns;
	uint64_t hold_ns; /* how long the child was held at its birth */
	uint64_t pages_shared;
	uint64_t huge_pages_shared;	 /* of these, mapped by PMDs: 4 KiB pages too */
	uint64_t swapped;		 /* of these, in swap */
	uint64_t copied_min, copied_max; /* both sides; equal where page frames could be read */
	bool late;			 /* the child ran before it was read to the end */
	struct cowtrace_side parent_side, child_side;
	/*
	 * It began in an older file of the recording: pages_shared is what was still
	 * shared when this one began, and the counts are what came since.
	 */
	bool carried;
	uint64_t pages_at_fork; /* that both shared at the fork itself */
};
size_t cowtrace_report_nr_forks(const struct cowtrace_report *r);
const struct cowtrace_fork *cowtrace_report_fork(const struct cowtrace_report *r, size_t i);

/*
 * Forks from one call site, by one caller (programs wrap fork), in processes of
 * one lineage.
 */
struct cowtrace_group {
	const char *site_text; /* "" unknown */
	const char *caller;    /* as in struct cowtrace_site */
	const char *lineage;   /* "postgres > postgres": names from the command to the parent */
	uint32_t depth;
	uint32_t nr_forks;
	uint32_t nr_unread; /* sides that could not be read: their counts are in no sum */
	uint64_t pages_shared, huge_pages_shared;
	uint64_t parent_copied, child_copied, parent_dropped, child_dropped, child_fresh, unknown;
	/* Both sides; copied_max is COWTRACE_UNKNOWN when that of one fork is. */
	uint64_t copied_min, copied_max;
	uint32_t nr_timed; /* forks whose fork_ns is known */
	uint64_t fork_ns_sum, fork_ns_max;
	uint64_t max_copied; /* of one fork, both sides */
	uint32_t max_fork;   /* its id */
};
/* Most copies first. */
size_t cowtrace_report_nr_groups(const struct cowtrace_report *r);
const struct cowtrace_group *cowtrace_report_group(const struct cowtrace_report *r, size_t i);
/* All of them together: no site, no lineage.  `top` changes nothing here, nor in groups. */
const struct cowtrace_group *cowtrace_report_total(const struct cowtrace_report *r);

struct cowtrace_region {
	uint32_t id, process;
	int32_t pid;
	const char *kind;    /* "heap" "stack" "anon" "bss" "arena" "shared" "file_private" ... */
	uint64_t start, end; /* bytes */
	const char *name;    /* tag, VMA name or path; "" none */
	bool tagged;	     /* false: found in the maps */
	uint32_t site;
	const char *site_text;	 /* "" unknown */
	const char *thp;	 /* "unset" "hugepage" "nohugepage" "disabled" */
	const char *ksm;	 /* "unset" "mergeable" "unmergeable" "process" */
	const char *fork_advice; /* "unset" "dontfork" "wipeonfork" */
	uint64_t t_ns;
	uint64_t shared; /* over all forks; COWTRACE_UNKNOWN when no side could be read */
	uint64_t copied, dropped, fresh, unknown;
};
size_t cowtrace_report_nr_regions(const struct cowtrace_report *r);
const struct cowtrace_region *cowtrace_report_region(const struct cowtrace_report *r, size_t i);
/* How many there are, without `top`. */
size_t cowtrace_report_all_regions(const struct cowtrace_report *r);

/*
 * Regions alike, of all processes: of one kind and name, mapped from one call
 * site with one advice.  The heaps of 300 backends; the arenas of one allocator.
 */
struct cowtrace_region_group {
	const char *kind, *name, *site_text, *thp, *ksm, *fork_advice; /* as in a region */
	bool tagged;
	uint32_t nr_regions, nr_processes;
	int32_t pid;  /* of one of them */
	uint64_t len; /* bytes, all together */
	uint64_t shared, copied, dropped, fresh, unknown;
};
/* Most copies first. */
size_t cowtrace_report_nr_region_groups(const struct cowtrace_report *r);
const struct cowtrace_region_group *cowtrace_report_region_group(const struct cowtrace_report *r,
								 size_t i);

/* One region in one fork, as one side sees it. */
struct cowtrace_fork_region {
	uint32_t fork, region;
	const char *side; /* "parent" "child" */
	uint64_t shared, huge, copied, dropped, fresh, unknown;
};
size_t cowtrace_report_nr_fork_regions(const struct cowtrace_report *r);
/* In the order of forks. */
const struct cowtrace_fork_region *cowtrace_report_fork_region(const struct cowtrace_report *r,
							       size_t i);

/* Copies in one second of one side of a fork. */
struct cowtrace_bucket {
	uint64_t t_ns; /* a whole second */
	uint32_t fork;
	const char *side;
	uint64_t copied;
};
size_t cowtrace_report_nr_buckets(const struct cowtrace_report *r);
const struct cowtrace_bucket *cowtrace_report_bucket(const struct cowtrace_report *r, size_t i);

struct cowtrace_reason_pages {
	const char *reason; /* "no_engine" "killed" "recorder_late" ... */
	uint64_t pages;
};

/* What the census counted, what has a call site, and what the kernel says. */
struct cowtrace_reconcile {
	int32_t pid;
	uint32_t process, fork; /* fork 0: it shared with none */
	const char *side;	/* "" with fork 0 */
	uint64_t copied, attributed;
	size_t nr_reasons; /* copied = attributed + sum of these */
	struct cowtrace_reason_pages unattributed[12];
	double coverage; /* attributed / copied; 1 when nothing was copied, -1 unknown */
	/*
	 * The witness: the kernel's Private_Dirty (smaps_rollup) beside the pages
	 * that nobody else maps by the census, both taken at witness_ns.
	 */
	uint64_t private_dirty_len, census_private_len; /* bytes */
	uint64_t witness_ns;
	const char *why; /* why the two may differ; "" when they should not */
};
size_t cowtrace_report_nr_reconcile(const struct cowtrace_report *r);
const struct cowtrace_reconcile *cowtrace_report_reconcile(const struct cowtrace_report *r,
							   size_t i);

/*
 * First writes to one side's pages from one call site: what an engine saw.  A page
 * that was copied, unmapped and never missed counts here and in no census.
 *
 * first_writes = copies + reuses + zero_filled + unknown, all in pages.
 */
struct cowtrace_write_site {
	uint32_t id;	     /* in this report: of site, side and system call */
	uint32_t site;	     /* cowtrace_report_site_of() */
	const char *side;    /* "parent" "child" */
	const char *syscall; /* "read": a system call wrote; "" the program itself */
	const char *text;    /* as in struct cowtrace_site */
	uint32_t nr_forks;
	const uint32_t *forks; /* their ids, ascending; 0: pages of no fork */
	uint64_t first_writes;
	uint64_t copies;
	uint64_t reuses;      /* made writable where they were */
	uint64_t zero_filled; /* the zero page was replaced */
	uint64_t unknown;     /* cannot be told what the kernel did */
	uint64_t copied_len;  /* bytes */
	/*
	 * What these faults cost an untraced program on the machine of the recording:
	 * copies and reuses at the price that was measured there.  COWTRACE_UNKNOWN
	 * where it was not.
	 */
	uint64_t stall_ns;
	uint32_t nr_frames;
	const struct cowtrace_frame *frames; /* leaf first; the system call before all */
	uint32_t deciding;		     /* the frame that text is of */
	/* First writes in each step of time: cowtrace_report_writes() has nr_steps and their
	 * length. */
	const uint32_t *steps;
};
/* In the order of options.sort. */
size_t cowtrace_report_nr_write_sites(const struct cowtrace_report *r);
const struct cowtrace_write_site *cowtrace_report_write_site(const struct cowtrace_report *r,
							     size_t i);

/* Where a site wrote: memory of one kind and name, of all processes. */
struct cowtrace_site_region {
	uint32_t write_site; /* id of a write site */
	const char *kind;    /* as in a region; "" of memory that no region tells of */
	const char *name;
	uint64_t first_writes, copies, reuses;
};
/* In the order of write sites, most first writes first. */
size_t cowtrace_report_nr_site_regions(const struct cowtrace_report *r);
const struct cowtrace_site_region *cowtrace_report_site_region(const struct cowtrace_report *r,
							       size_t i);

/* All first writes of the report, with and without a call site. */
struct cowtrace_writes {
	bool watched;	 /* an engine was at work: false, and all of this is 0 */
	uint64_t faults; /* one may make 512 pages writable */
	uint64_t first_writes, copies, reuses, zero_filled, unknown; /* pages */
	uint64_t stall_ns;
	uint64_t fault_copy_ns, fault_reuse_ns, fault_huge_ns; /* what stall_ns reckons with */
	size_t nr_reasons;
	/* Pages first written whose callers are not known: their site is one frame, or none. */
	struct cowtrace_reason_pages without_stack[16];
	uint64_t steps_ns; /* when the first step of time begins */
	uint64_t step_ns;  /* its length; 0: there are none */
	uint32_t nr_steps;
};
const struct cowtrace_writes *cowtrace_report_writes(const struct cowtrace_report *r);

/*
 * Huge mappings of 2 MiB that a program had and lost: one cause, at one call site, of
 * one process, in one region.
 */
struct cowtrace_thp_loss {
	/*
	 * "write_after_fork": the kernel split the mapping to copy 4 KiB of it, seen by an
	 * engine.  "munmap", "madvise_dontneed", "mprotect", ...: a call that took or changed
	 * a part of it.  docs/report-json.md has them all.
	 */
	const char *cause;
	uint32_t process;
	int32_t pid;
	uint32_t site;	     /* cowtrace_report_site_of(); 0 unknown */
	const char *text;    /* as in struct cowtrace_write_site; "" unknown */
	const char *syscall; /* of a write_after_fork: "read"; "" the program itself */
	uint32_t region;     /* id; 0 unknown */
	const char *kind;    /* of the region; "" unknown */
	const char *name;
	uint64_t events;       /* huge mappings */
	uint64_t len;	       /* bytes: 2 MiB for each */
	uint64_t regained_len; /* of these, huge again later; COWTRACE_UNKNOWN */
	/*
	 * Of write_after_fork, pages of 4 KiB in what was lost, as long as the fork lasted:
	 * copied (the first one with it), made writable where they were, and of the copied
	 * those of which the model said that they could have been.  Else COWTRACE_UNKNOWN.
	 */
	uint64_t copies, reuses, reusable;
};
/* Most bytes first. */
size_t cowtrace_report_nr_thp_losses(const struct cowtrace_report *r);
const struct cowtrace_thp_loss *cowtrace_report_thp_loss(const struct cowtrace_report *r, size_t i);

struct cowtrace_disagreement {
	int32_t pid;
	uint32_t process, fork, site; /* site 0: none */
	const char *side;
	uint64_t t_ns, page; /* page: address / 4096 */
	bool huge;	     /* mapped by a PMD before the write */
	/* As in <cowtrace/policy.h>: "copy", "reuse", ..., "refcount_one" */
	const char *predicted, *observed, *reason;
};

/* Verdicts that hung on one input that nobody outside the kernel knows. */
struct cowtrace_undecided {
	const char *decides; /* "refcount", ... */
	uint64_t writes;
	uint64_t likely_total; /* of these, what the kernel did is known */
	uint64_t likely_equal; /* and it was what an ordinary value would have led to */
};

/* What was predicted from a page's state before the write, and what then happened. */
struct cowtrace_agreement {
	uint64_t predicted_equal;
	uint64_t predicted_total; /* certain verdicts on writes whose outcome is known */
	uint64_t unobserved;	  /* certain verdicts on the others */
	uint64_t uncertain;
	size_t nr_undecided;
	const struct cowtrace_undecided *undecided; /* sum of writes: uncertain; most first */
	uint64_t nr_disagreements;		    /* predicted_total - predicted_equal */
	size_t nr_listed;			    /* the first of them, 10,000 at most */
	const struct cowtrace_disagreement *disagreements;
};
const struct cowtrace_agreement *cowtrace_report_agreement(const struct cowtrace_report *r);

struct cowtrace_note {
	uint64_t t_ns;
	uint32_t process;     /* 0: about the recording */
	int32_t pid;	      /* 0 then */
	const char *severity; /* "info" "warning" "error" */
	const char *code;     /* short and stable */
	const char *text;
};
size_t cowtrace_report_nr_notes(const struct cowtrace_report *r);
const struct cowtrace_note *cowtrace_report_note(const struct cowtrace_report *r, size_t i);

#ifdef __cplusplus
}
#endif

#endif

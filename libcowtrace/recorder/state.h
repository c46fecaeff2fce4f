/* SPDX-License-Identifier: MIT */
/*
 * The recorder's memory: processes, forks, and what they share.  All of it
 * belongs to the serving thread; nothing here is locked.
 */
#ifndef CT_RECORDER_STATE_H
#define CT_RECORDER_STATE_H

#include "base/futex.h"
#include "census/bounds.h"
#include "census/compare.h"
#include "census/reading.h"
#include "channel/ring.h"
#include "channel/segment.h"
#include "recorder/engine.h"
#include "recorder/firsts.h"
#include "recorder/mapset.h"
#include "recorder/modules.h"
#include "recorder/names.h"
#include "recorder/outbox.h"
#include "recorder/regions.h"
#include "recorder/sites.h"
#include "recorder/tagmap.h"
#include "sys/kcaps.h"
#include "sys/kpage.h"
#include "sys/maps.h"

/*
 * Counters of everything else that moves pages.  Where two samples are equal,
 * nothing but copy-on-write has changed a page frame between them.
 */
struct ct_activity {
	u64 migrated, swapped_in, swapped_out, collapsed;
	bool ksm; /* something is merged, somewhere */
};

/*
 * Processes that descend from one image by fork, and so may share pages.  An
 * exec leaves it.
 */
struct ct_family {
	u32 refs;
	u32 alive;
};

/* Memory of the shim in an image and in what is forked from it. */
struct ct_own_set {
	u32 refs;
	u32 nr;
	struct ct_own_range v[6];
};

/* A fork: what both shared, and how the two sides ended. */
struct ct_fork {
	u32 refs; /* its shares, and the list of unfinished forks */
	u32 id;
	u64 start_ns;	       /* since the recording began */
	u64 clone_ns, born_ns; /* CLOCK_MONOTONIC: the clone ran between these */
	struct ct_image *orig;
	struct ct_regionset *regions;
	struct ct_activity activity; /* at the birth, or before */
	bool pair;		     /* nobody else has been in the family since */
	struct ct_proc *proc[2];     /* enum ct_side; NULL: gone */
	struct ct_image *end[2];     /* the last reading of a side */
	struct ct_activity end_activity[2];
	bool closed[2];
	bool unread[2];		    /* went before it could be read */
	u64 copied[2], unknown[2];  /* as last told */
	u64 told[2];		    /* copies in the timeline so far */
	struct ct_portion *portion; /* NULL: of a recording of one file */
	u8 *told_regions;	    /* by index: bit n, side n has counts in the trace; or NULL */
	/* Without PFNs: what the looks at its sides said. */
	bool have_bounds;
	u64 bound_min, bound_max;
	u64 may[2]; /* pages that a side may have copied */
	u64 end_ns;
	/* The child's own numbers at its end, to compare with the kernel's. */
	bool have_witness;
	u32 witness_process;
	u64 witness_ns, witness_dirty, witness_alone;
};

/* What one process holds of one fork. */
struct ct_share {
	struct ct_share *next; /* older */
	struct ct_fork *fork;
	enum ct_side side;
	struct ct_extents extents;
	/*
	 * Set where a newer fork has taken most of the pages over, but not those that
	 * the program keeps from its children (MADV_DONTFORK, WIPEONFORK): how all of
	 * them were at that fork, and which of them are still this one's.
	 */
	struct ct_image *frozen;
	struct ct_page_run *carried;
	size_t nr_carried;
	/* With an engine: the pages that were written, by the fork's addresses. */
	struct ct_firsts firsts;
	u32 reasons_told; /* bit n: enum ct_no_site n has been told */
};

/* A change of the address space that cannot be placed before or after a fork yet. */
struct ct_drop {
	u64 begin_ns, end_ns; /* CLOCK_MONOTONIC, of the call */
	u64 page, pages;
	u64 to; /* page; moved there, or CT_DROPPED */
};
#define CT_DROPPED UINT64_MAX

/* Ids of the regions that a process has in the trace. */
struct ct_region_id {
	u64 hash;
	u32 id; /* 0: empty */
};

/* The runs of a process's fork that were told last (runs.c). */
struct ct_told_runs {
	struct ct_rec_run *v;
	u32 nr, fork; /* fork 0: none */
};

struct ct_proc {
	struct ct_proc *next;
	u32 id;
	u32 parent_id;
	s32 pid; /* in the recorder's pid namespace */
	u32 slot;
	int pidfd, pagemap_fd, statm_fd;
	char comm[16];
	u64 born_ns;	/* CLOCK_MONOTONIC, when it was taken in */
	s32 parent_pid; /* as announced, ... */
	u64 start_ns;	/* ... since the recording began */
	u32 exe;	/* interned */

	struct ct_family *family;
	struct ct_share *shares; /* newest first */
	struct ct_own_set *own;

	struct ct_tagmap *tags;
	struct ct_tagmap *fork_tags; /* at the clone of a fork under way; NULL: tags still are */
	struct ct_modmap *modmap;
	u64 modmap_ns;		      /* when it was read */
	u8 thp, ksm;		      /* what prctl set for all of it */
	bool ksm_eyes;		      /* ksmd has had an eye on its pages */
	struct ct_mapset *mapset;     /* its VMAs, when they were last read */
	struct ct_regionset *regions; /* at its last fork or birth */
	u64 regions_hash;	      /* of the maps and the tags that they came from */
	struct ct_region_id *region_ids;
	u32 nr_region_ids, cap_region_ids;

	/* Drops that wait for a fork in progress. */
	struct ct_drop *drops;
	u32 nr_drops, cap_drops;
	u32 forks_seen; /* births handled, and clones that failed */
	u32 begun;	/* forks begun when that was looked at last, ... */
	u64 begun_ns;	/* ... and when; 0: never yet */
	u32 birth_fork; /* id of the fork that made it; 0: a HELLO did */

	struct ct_told_runs told_runs;
	struct ct_image *last; /* the newest reading, whatever for */
	u64 read_ns;	       /* CLOCK_MONOTONIC, before the newest reading of its memory began */
	struct ct_patch *hot;  /* newer than last: pages looked at singly, ascending */
	u32 nr_hot;

	/* How it was when its last relative took its leave, and what it dropped since. */
	struct ct_image *parting;
	u64 parted_ns;	   /* CLOCK_MONOTONIC; 0: it has relatives */
	bool parting_held; /* read while the one that went stood still */
	struct ct_page_run *late;
	u32 nr_late;

	u64 next_read_ns; /* for the timeline; 0: nothing shared */
	u64 forked_ns;	  /* when its newest child was read */
	u64 close_due_ns; /* its relatives have gone; 0: no */
	bool exit_read;	  /* the reading before its end was taken */
	bool reaped;	  /* its end is asked for (reap.h); its pidfd is not with the io thread */
	bool exec_read;	  /* the same before an exec, which may fail yet */
	struct ct_image *exec_image;
	u64 exec_ns;
	u64 waited_ns; /* CLOCK_MONOTONIC, when its parent heard of its end; 0: not yet */
	u64 gone_ns;   /* it has gone; kept for a child that has not spoken yet */
	char exec_path[128];
	u64 spawned_ns; /* its newest vfork or posix_spawn, by thread spawn_tid; 0: looked at */
	s32 spawn_tid;
	s32 wstatus;

	/* With the uffd engine. */
	struct ct_watch *watch; /* NULL: none came, or not yet */
	u64 watch_due_ns;	/* it is to send its userfaultfd by then; 0: it has, or will not */

	/* With the perf engine (faults_events.c). */
	struct {
		int fd;		    /* its event; -1: none came, or closed */
		bool on, had, back; /* enabled; it has come; the process has stepped back */
		u64 idle_ns;	    /* since when it has no relative; 0: it has */
		u64 lost;	    /* faults that found the ring full, as last told */
	} perf;
};

/* A clone that has returned in the parent; the child has yet to say a word. */
struct ct_expected {
	u32 slot, parent; /* parent: process id */
	s32 pid;	  /* as the parent sees it */
	u64 deadline_ns;
	bool other_pidns;
};

/* The newest births, for what the parent tells after them. */
struct ct_recent {
	u32 slot, fork; /* fork: id; 0: could not be read */
	s32 pid;	/* as the child sees it */
	u64 clone_ns;
};
#define CT_RECENT 1024

struct ct_meta_text {
	struct ct_meta_text *next;
	const char *key;
	char value[];
};

struct ct_totals {
	u64 processes, forks, shared, copied, dropped;
	u64 notes;
};

/* Those that are about to go (reap.h), oldest first. */
struct ct_reap_one {
	u32 id; /* of the process */
	int pidfd;
	u64 since_ns;
};
struct ct_reap {
	struct ct_reap_one v[64];
	u32 nr;
	u64 due_ns; /* CLOCK_MONOTONIC: asked by then */
};

struct ct_rec_ctx {
	struct ct_segment *seg;
	struct ct_kcaps caps;
	struct ct_kpage kpage;
	struct ct_reader reader;
	struct ct_maps maps;	  /* scratch */
	struct ct_maps code_maps; /* scratch, for what is looked up while those are in use */
	int vmstat_fd;
	struct ct_activity activity; /* the newest sample */
	u64 activity_ns, ksm_ns;
	u64 ksm_merged, ksm_scans; /* when the recording began */
	bool ksm_woken;		   /* ksmd has run since, or somebody took apart what it merged */
	bool urgent, never_urgent; /* the serving thread's scheduling class */
	u64 witness_due_ns;	   /* CLOCK_MONOTONIC: when the next one would be, without bursts */
	u64 start_ns;
	bool listens; /* for any number of programs, until it is told to stop */
	/* Of the segment, before the programs could write to it. */
	u64 hold_ns, seg_size;

	struct ct_outbox *out;
	struct ct_modules *modules;
	struct ct_sites *sites;
	struct ct_names *names;

	struct ct_proc *procs; /* alive, or gone and waiting for a child's word */
	u32 nr_alive;
	struct ct_proc *by_slot[CT_SEG_SLOTS];
	u32 next_process, next_fork, next_region;
	u32 strays[64]; /* names of programs that did not attach, told already */
	u32 nr_strays;
	u32 spawns; /* vforks and posix_spawns seen whose children may yet say HELLO */
	struct ct_expected *expected;
	u32 nr_expected, cap_expected;
	struct ct_recent recent[CT_RECENT];
	u32 nr_recent; /* ever; the newest is at (nr_recent - 1) % CT_RECENT */
	struct ct_ring_reader ring;
	u64 dropped_told, torn_told;
	struct ct_totals totals;
	u32 nr_warnings;	      /* of this file */
	struct ct_meta_text *metas;   /* all that were put */
	struct ct_rotation *rotation; /* NULL: one file */
	struct ct_io *io;
	/* NULL without an engine. */
	struct ct_engine *engine;
	struct ct_writes *writes;
	struct ct_faults *faults; /* NULL without the perf engine */
	int uffd_dev;		  /* /dev/userfaultfd, for the programs; -1 */
	u64 linger_ns;		  /* protection stays this long after the last relative */
	struct ct_reap reap;
	/* Scratch for tallies by region. */
	struct ct_tally *tallies;
	u64 *counts;
	u32 cap_tallies;
};

/*
 * The programs and the supervisor give up on a recorder whose heart stands still;
 * and it does where the engine's thread, for whom the programs wait too, is stuck.
 */
static inline void ct_rec_beat_until(struct ct_rec_ctx *c, u64 t_ns)
{
	if (c->engine && !ct_engine_is_alive(c->engine))
		return;
	atomic_store_explicit(&c->seg->heartbeat_ns, t_ns, memory_order_relaxed);
}

static inline void ct_rec_beat(struct ct_rec_ctx *c)
{
	ct_rec_beat_until(c, ct_now_ns());
}

/* Before p's memory is looked at: who waits for a clone there is not stuck. */
static inline void ct_rec_looks_at(struct ct_rec_ctx *c, const struct ct_proc *p)
{
	atomic_store_explicit(&c->seg->looks_at[0], p->slot + 1, memory_order_relaxed);
}

static inline u64 ct_rec_since(const struct ct_rec_ctx *c, u64 mono_ns)
{
	return mono_ns > c->start_ns ? mono_ns - c->start_ns : 0;
}

/* proc.c: making and ending processes */
struct ct_proc *ct_proc_create(struct ct_rec_ctx *c, u32 slot, s32 pid, const struct ct_proc *from);
struct ct_proc *ct_proc_of_pid(struct ct_rec_ctx *c, s32 pid);
struct ct_proc *ct_proc_of_id(struct ct_rec_ctx *c, u32 id);
void ct_proc_announce(struct ct_rec_ctx *c, struct ct_proc *p, s32 parent_pid, u64 start_ns);
/* Leaves its family; the last one left there has its shares closed soon. */
void ct_proc_leave_family(struct ct_rec_ctx *c, struct ct_proc *p);
/* Tells the end, frees the slot and the process. */
void ct_proc_end(struct ct_rec_ctx *c, struct ct_proc *p, enum ct_ended ended, u64 end_ns);
/* Where p has its code now. */
void ct_proc_read_modules(struct ct_rec_ctx *c, struct ct_proc *p);
u32 ct_proc_site(struct ct_rec_ctx *c, struct ct_proc *p, const u64 *pcs, u32 nr);
/* The regions of maps under the given tags of p; one reference, or NULL. */
struct ct_regionset *ct_proc_regions(struct ct_rec_ctx *c, struct ct_proc *p,
				     const struct ct_tagmap *tags, const struct ct_mapset *maps);
/* Id of a region in the trace, told to the store when it is new. */
u32 ct_proc_region_id(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_region *r);
/* Called every half millisecond of a reading; arg: the context. */
void ct_proc_keep_alive(void *arg);
/* A reading of p's memory now, chunks shared with its last one; becomes p->last. */
int ct_proc_read(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image **ret_img);
void ct_rec_note(struct ct_rec_ctx *c, u32 process, const char *severity, const char *code,
		 const char *fmt, ...) ct_printf(5, 6);

/* recorder.c: the table meta; key: a constant.  Repeats are for another file. */
void ct_rec_meta(struct ct_rec_ctx *c, const char *key, const char *value);
void ct_rec_repeat_metas(struct ct_rec_ctx *c);

/* birth.c */
void ct_birth_serve(struct ct_rec_ctx *c, u32 slot);
/* What the parent shares by f, region by region. */
void ct_birth_tell_shared(struct ct_rec_ctx *c, struct ct_proc *parent, struct ct_fork *f);

/* underway.c: forks that have begun */
/* A birth is over, counted or not: the parent's word may come before or after it. */
void ct_birth_remember(struct ct_rec_ctx *c, const struct ct_recent *r);
void ct_birth_tell_times(struct ct_rec_ctx *c, u32 fork, u64 fork_ns, u64 arm_ns);
/* The parent's clone has returned with a child. */
void ct_birth_returned(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev);
/* Gives up births that will not come: the child was killed before it spoke. */
void ct_birth_expire(struct ct_rec_ctx *c, u64 now);
/* The child of p that was to have this slot will never speak. */
void ct_birth_forget(struct ct_rec_ctx *c, struct ct_proc *p, u32 slot);
/* One of p's forks is no longer under way. */
void ct_birth_settled(struct ct_proc *p);
/* False: the same parent has cloned another before this one, who has yet to be read. */
bool ct_birth_in_order(const struct ct_rec_ctx *c, u32 slot);
/* True when a clone of p has begun and its child has not been read yet. */
bool ct_birth_under_way(const struct ct_rec_ctx *c, const struct ct_proc *p);
/* Settles forks of p whose end was never told; to be called now and then. */
void ct_birth_resync(struct ct_rec_ctx *c, struct ct_proc *p, u64 now);
/* Frees slots of children that were never read and have gone; some 50 us. */
void ct_birth_free_orphans(struct ct_rec_ctx *c);

/* runs.c: what a replay begins from.  The id of the fork whose runs are f's. */
u32 ct_runs_tell(struct ct_rec_ctx *c, struct ct_proc *parent, const struct ct_fork *f);

/* written.c: pages that a child wrote before it was read */
struct ct_written {
	struct ct_patch *v; /* ascending; what was there at the clone */
	u32 nr;
};
/*
 * Of the reading just taken (c->reader, img).  sp, tp: of the thread that forked.
 * The caller frees v.
 */
void ct_written_find(struct ct_rec_ctx *c, const struct ct_proc *parent, const struct ct_image *img,
		     u64 sp, u64 tp, struct ct_written *ret);
/* Keeps what both have there now: at the next fork it tells who wrote since. */
void ct_written_remember(struct ct_rec_ctx *c, struct ct_proc *parent, struct ct_proc *child,
			 const struct ct_image *img, const struct ct_written *w);

/* close.c: what became of a fork's pages */
enum ct_close { CT_CLOSE_LOOK, CT_CLOSE_FINAL };
void ct_close_share(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
		    struct ct_image *now, enum ct_side_end why, enum ct_close how);
/* All of them; now NULL: could not be read. */
void ct_close_all(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now,
		  enum ct_side_end why);
/*
 * Without PFNs: looks at all that p's family shares, and remembers it; to be
 * called while p still has its memory, because its going changes what can be seen
 * of the others.  now: of p.  With PFNs it does nothing.
 */
void ct_close_evaluate(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now);
void ct_close_look(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now);
/* The kernel's word on the child, once. */
void ct_close_tell_witness(struct ct_rec_ctx *c, struct ct_fork *f);
void ct_share_free(struct ct_share *s);
void ct_fork_unref(struct ct_fork *f);
/* A sample of now; and one of a moment ago, for where an older one is as good. */
void ct_activity_read(struct ct_rec_ctx *c, struct ct_activity *ret);
void ct_activity_recent(struct ct_rec_ctx *c, struct ct_activity *ret);
int ct_tallies_reserve(struct ct_rec_ctx *c, u32 nr);

/* urgency.c: before waiting programs are served; before what is long; for work on img */
#define URGENT_PAGES 16384 /* 64 MiB: half a millisecond to read */
void ct_urgency_on(struct ct_rec_ctx *c);
void ct_urgency_off(struct ct_rec_ctx *c);
void ct_urgency_for(struct ct_rec_ctx *c, const struct ct_image *img);

struct ct_attribution; /* writes.h */

/* judge.c: copied, or moved by something else? */
/* Pages that anything but copy-on-write has moved between two samples, at most. */
u64 ct_activity_moved(const struct ct_activity *a, const struct ct_activity *b);
/*
 * Compares what s shares with now, activity being of now or later; the tallies by
 * region are in c->tallies.  who: adds up whose the copies are, unless NULL.
 * 0 or -ENOMEM.
 */
int ct_judge_compare(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		     enum ct_side_end why, const struct ct_activity *activity, struct ct_tally *ret,
		     struct ct_attribution *who);

/* blind.c: the same without page frame numbers.  Also -ENODATA: cannot be seen any more. */
int ct_blind_compare(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		     enum ct_side_end why, struct ct_tally *ret);

/* parting.c: the last relative's leave-taking */
/*
 * leaver stands still and is about to go: reads the one that it leaves alone,
 * NULL when there is no such.
 */
struct ct_proc *ct_parting_begin(struct ct_rec_ctx *c, struct ct_proc *leaver);
/* The leaver goes on its way now; q may be NULL. */
void ct_parting_end(struct ct_proc *q);
/* leaver was killed; told_ns: when the kernel said so. */
void ct_parting_killed(struct ct_rec_ctx *c, struct ct_proc *leaver, u64 told_ns);
void ct_parting_forget(struct ct_proc *q);
/* True when the drop came after the parting, and was noted as such. */
bool ct_parting_drop(struct ct_proc *q, const struct ct_drop *d);
/* now, with what q dropped after the parting as it was then.  0 with an image, or not 0. */
int ct_parting_compose(struct ct_proc *q, const struct ct_image *orig, struct ct_image *now,
		       struct ct_image **ret_whole);

/* carry.c: pages that stay with an older fork */
bool ct_carry_on(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
		 struct ct_image *child);
int ct_carry_compose(const struct ct_share *s, const struct ct_image *now,
		     struct ct_image **ret_whole);

/* events.c */
/* Notes in the segment whether the system gives huge pages to all; now and then. */
void ct_thp_setting(struct ct_rec_ctx *c);
/* p was seen to have huge pages. */
void ct_thp_had(struct ct_rec_ctx *c, const struct ct_proc *p);
/*
 * What p's side of a fork had as huge pages and has no more, by its last reading: a row
 * each.  What was unmapped or moved as a whole is none.
 */
void ct_thp_compare(struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_share *s,
		    const struct ct_image *now);
/* A call of p has lost huge pages: a row (thp.c). */
void ct_thp_lost(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u32 site);
void ct_events_drain(struct ct_rec_ctx *c, u64 now);
/* Only what was reserved before that ticket (seg->head). */
void ct_events_drain_to(struct ct_rec_ctx *c, u64 now, u64 ticket);
/* drops.c: to: CT_DROPPED, or where the memory was moved. */
void ct_drops_add(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u64 addr,
		  u64 len, u64 to);
/* All that ended before that time takes effect. */
void ct_drops_apply(struct ct_rec_ctx *c, struct ct_proc *p, u64 before_ns);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The outbox: deep copies of records, one behind the other in blocks, and the
 * thread that writes them.  Blocks are used again: a fork of a small process makes
 * two hundred records, and each would be a malloc here and a free over there.
 *
 * Commits twice a second while there is anything to commit, so that a trace
 * whose recorder is killed holds everything up to the last second.
 *
 * Invariant: only the disk thread calls the store, and the series of files, between
 * create and finish.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/futex.h"
#include "recorder/outbox.h"

#define QUEUE_MAX (16UL << 20) /* bytes of records that are not written yet */
/* A storm of events takes no more of it: what the report is made of has the rest. */
#define EVENTS_MAX (QUEUE_MAX / 2)
#define COMMIT_NS (500 * CT_NSEC_PER_MSEC)
/* Records are let gather: waking the disk thread for each would cost the programs. */
#define GATHER_NS (100 * CT_NSEC_PER_MSEC)

/*
 * With a bound on the files' size it is looked at more often than twice a second: this
 * much of records makes no more than that much of a file.
 */
#define LOOK_LEN (128UL << 10)
/* Shares of the bound, for a running file alone: from here on no details, then nothing. */
#define DETAILS_MAX(max_len) ((max_len) / 8 * 5)
#define FILE_MAX(max_len) ((max_len) / 8 * 7)
/* In the queue, in place of a type: what follows goes into the next file. */
#define NEXT_FILE CT_REC_NR

struct node {
	size_t len;
	struct ct_rec rec;
	/* strings and arrays of the record follow */
};

struct block {
	struct block *next;
	size_t used, cap; /* bytes of nodes */
	u64 nodes[];
};

#define BLOCK_LEN (64UL << 10)
/* Blocks that are kept for later, at most. */
#define SPARE_MAX 32

struct ct_outbox {
	struct ct_store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct block *head, **tail; /* full, but for the last one */
	struct block *last;
	struct block *spare;
	u32 nr_spare;
	_Atomic size_t queued; /* bytes, with those that the disk thread is writing */
	u64 lost, lost_events;
	_Atomic u64 nr_put;
	/* With a series of files; the disk thread's own, but for file_len. */
	struct ct_outbox_files files; /* series NULL: one file */
	_Atomic u64 file_len;
	_Atomic u32 file;
	size_t unseen; /* bytes of records since the sizes were looked at */
	bool no_details;
	bool stop;
	bool idle; /* the disk thread waits for a first record */
	char error[512];
};

/* Strings and arrays of a record, found by its type: where the pointers are. */
struct part {
	const void **ptr;
	size_t len;
};

#define MAX_PARTS 3

static void add_string(struct part *p, int *nr, const char **s)
{
	if (*s)
		p[(*nr)++] = (struct part){ (const void **)s, strlen(*s) + 1 };
}

static void add_array(struct part *p, int *nr, const void **a, size_t len)
{
	if (*a && len)
		p[(*nr)++] = (struct part){ a, len };
}

static int parts_of(struct ct_rec *r, struct part p[MAX_PARTS])
{
	int nr = 0;

	switch (r->type) {
	case CT_REC_META:
		add_string(p, &nr, &r->meta.key);
		add_string(p, &nr, &r->meta.value);
		break;
	case CT_REC_PROCESS:
	case CT_REC_PROCESS_COMM:
		add_string(p, &nr, &r->process.comm);
		add_string(p, &nr, &r->process.exe);
		break;
	case CT_REC_MODULE:
		add_string(p, &nr, &r->module.path);
		break;
	case CT_REC_SITE:
		add_array(p, &nr, (const void **)&r->site.frames,
			  r->site.nr * sizeof(*r->site.frames));
		break;
	case CT_REC_FORK:
		add_string(p, &nr, &r->fork.phase);
		add_string(p, &nr, &r->fork.how);
		break;
	case CT_REC_REGION:
		add_string(p, &nr, &r->region.name);
		break;
	case CT_REC_WITNESS:
		add_string(p, &nr, &r->witness.why);
		break;
	case CT_REC_EVENT:
		add_string(p, &nr, &r->event.type);
		add_string(p, &nr, &r->event.name);
		break;
	case CT_REC_RUNS:
		add_array(p, &nr, (const void **)&r->runs.runs, r->runs.nr * sizeof(*r->runs.runs));
		break;
	case CT_REC_THP_LOSS:
		add_string(p, &nr, &r->thp_loss.cause);
		break;
	case CT_REC_NOTE:
		add_string(p, &nr, &r->note.severity);
		add_string(p, &nr, &r->note.code);
		add_string(p, &nr, &r->note.text);
		break;
	default:
		break;
	}
	return nr;
}

/* The parts' lengths in a node: each begins at a multiple of 8. */
static size_t part_room(const struct part *p)
{
	return (p->len + 7) & ~7UL;
}

static void fill_node(struct node *n, size_t len, const struct ct_rec *rec)
{
	char *at = (char *)(n + 1);
	struct part p[MAX_PARTS];
	int i, nr;

	n->rec = *rec;
	n->len = len;
	nr = parts_of(&n->rec, p);
	for (i = 0; i < nr; i++) {
		memcpy(at, *p[i].ptr, p[i].len);
		*p[i].ptr = at;
		at += part_room(&p[i]);
	}
}

static size_t node_len(const struct ct_rec *rec)
{
	struct ct_rec copy = *rec;
	struct part p[MAX_PARTS];
	int i, nr = parts_of(&copy, p);
	size_t len = sizeof(struct node);

	for (i = 0; i < nr; i++)
		len += part_room(&p[i]);
	return len;
}

/* A block with room for len bytes at the end of the list, or NULL; the lock is held. */
static struct block *block_for(struct ct_outbox *o, size_t len)
{
	struct block *b = o->last;

	if (b && b->cap - b->used >= len)
		return b;
	b = len <= BLOCK_LEN ? o->spare : NULL;
	if (b) {
		o->spare = b->next;
		o->nr_spare--;
	} else {
		b = malloc(sizeof(*b) + ct_max(len, BLOCK_LEN));
		if (!b)
			return NULL;
		b->cap = ct_max(len, BLOCK_LEN);
	}
	b->next = NULL;
	b->used = 0;
	*o->tail = b;
	o->tail = &b->next;
	o->last = b;
	return b;
}

static size_t room_for(const struct ct_rec *rec)
{
	if (rec->type == NEXT_FILE)
		return SIZE_MAX;
	return rec->type == CT_REC_EVENT || rec->type == CT_REC_RUNS ? EVENTS_MAX : QUEUE_MAX;
}

static bool put(struct ct_outbox *o, const struct ct_rec *rec)
{
	const size_t len = node_len(rec);
	struct block *b = NULL;
	bool wake;

	pthread_mutex_lock(&o->lock);
	if (o->queued + len <= room_for(rec))
		b = block_for(o, len);
	if (!b) {
		if (rec->type == CT_REC_EVENT)
			o->lost_events++;
		else
			o->lost++;
		pthread_mutex_unlock(&o->lock);
		return false;
	}
	o->nr_put++;
	fill_node((struct node *)((char *)b->nodes + b->used), len, rec);
	b->used += len;
	o->queued += len;
	wake = o->idle || o->queued > QUEUE_MAX / 4;
	o->idle = false;
	pthread_mutex_unlock(&o->lock);
	if (wake)
		pthread_cond_signal(&o->wake);
	return true;
}

void ct_outbox_put(struct ct_outbox *o, const struct ct_rec *rec)
{
	put(o, rec);
}

bool ct_outbox_next_file(struct ct_outbox *o)
{
	const struct ct_rec rec = { .type = NEXT_FILE };

	return put(o, &rec);
}

/* Waits on o->wake for ns; the lock is held. */
static void wait_for(struct ct_outbox *o, u64 ns)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ns;
	if (until.tv_nsec >= (long)CT_NSEC_PER_SEC) {
		until.tv_sec++;
		until.tv_nsec -= (long)CT_NSEC_PER_SEC;
	}
	pthread_cond_timedwait(&o->wake, &o->lock, &until);
}

/*
 * Takes the whole queue.  Waits for a first record for ever, unless a commit is
 * due (dirty); then a little for more.
 */
static struct block *take_all(struct ct_outbox *o, bool dirty, bool *ret_stop)
{
	struct block *b;

	pthread_mutex_lock(&o->lock);
	while (!o->head && !o->stop && !dirty) {
		o->idle = true;
		pthread_cond_wait(&o->wake, &o->lock);
	}
	o->idle = false;
	if (!o->stop && o->queued < QUEUE_MAX / 4)
		wait_for(o, GATHER_NS);
	b = o->head;
	o->head = NULL;
	o->tail = &o->head;
	o->last = NULL;
	*ret_stop = o->stop && !b;
	pthread_mutex_unlock(&o->lock);
	return b;
}

static void note_error(struct ct_outbox *o)
{
	const char *text = ct_store_error(o->store);

	pthread_mutex_lock(&o->lock);
	if (text && !o->error[0])
		snprintf(o->error, sizeof(o->error), "%s", text);
	pthread_mutex_unlock(&o->lock);
}

/* What a report can do without. */
static bool is_detail(enum ct_rec_type type)
{
	return type == CT_REC_EVENT || type == CT_REC_WRITE || type == CT_REC_RUNS ||
	       type == CT_REC_TIMELINE || type == CT_REC_THP_LOSS;
}

static void put_note(struct ct_outbox *o, const char *code, const char *text)
{
	struct ct_rec rec = { .type = CT_REC_NOTE };

	rec.note.t_ns = CT_UNKNOWN;
	rec.note.severity = "warning";
	rec.note.code = code;
	rec.note.text = text;
	if (ct_store_put(o->store, &rec))
		note_error(o);
}

/* After a commit: old files go, so that the running one has room to grow. */
static void look_at_files(struct ct_outbox *o)
{
	const u64 max = o->files.max_len;
	u64 len, older;

	o->unseen = 0;
	len = ct_series_running(o->files.series);
	o->file_len = len;
	/* What is on its way: the WAL's pages into the file, and the next look's records. */
	older = ct_series_trim(o->files.series, len + max / 8);
	if (!max || older || !o->store)
		return;
	if (len > DETAILS_MAX(max) && !o->no_details) {
		o->no_details = true;
		put_note(o, "disk_bound",
			 "this file alone is near the bound of --max-disk: from here on it has no "
			 "single calls, no first writes and no timeline; forks, regions and totals "
			 "go on");
	}
	if (len > FILE_MAX(max) && !ct_store_error(o->store)) {
		ct_store_stop(o->store, "the bound of --max-disk was reached");
		note_error(o);
	}
}

static void commit(struct ct_outbox *o)
{
	if (o->store && ct_store_commit(o->store))
		note_error(o);
	if (o->files.series)
		look_at_files(o);
}

/* The sentence of records that were lost, in the words of a file; NULL: none were. */
static const char *lost_text(struct ct_outbox *o, char *text, size_t len)
{
	u64 lost_events, lost = ct_outbox_lost(o, &lost_events);

	if (lost)
		snprintf(text, len, "the disk was too slow: %llu records were lost",
			 (unsigned long long)(lost + lost_events));
	else if (lost_events)
		snprintf(text, len,
			 "the disk was too slow: %llu records of single calls (mmap, madvise, ...) "
			 "were lost; forks, regions and totals are whole",
			 (unsigned long long)lost_events);
	return lost || lost_events ? text : NULL;
}

static void begin_file(struct ct_outbox *o)
{
	struct ct_err err = { "" };
	int rc = ct_store_create(ct_series_path(o->files.series), &o->store, &err);

	pthread_mutex_lock(&o->lock);
	snprintf(o->error, sizeof(o->error), "%s", rc ? err.text : "");
	o->lost = o->lost_events = 0;
	pthread_mutex_unlock(&o->lock);
	if (rc)
		return;
	ct_store_keep_wal(o->store, o->files.wal_len);
	if (ct_store_put_command(o->store, o->files.argv))
		note_error(o);
}

static void next_file(struct ct_outbox *o)
{
	struct ct_err err = { "" };
	char text[256];
	int rc;

	if (o->store)
		ct_store_finish(o->store, lost_text(o, text, sizeof(text)), &err);
	o->store = NULL;
	o->no_details = false;
	rc = ct_series_archive(o->files.series);
	if (!rc || rc == -ENOENT) {
		ct_series_trim(o->files.series, o->files.max_len / 8);
		begin_file(o);
	} else {
		/* A new one would take its place. */
		pthread_mutex_lock(&o->lock);
		snprintf(o->error, sizeof(o->error), "%s cannot be renamed: %s",
			 ct_series_path(o->files.series), strerror(-rc));
		pthread_mutex_unlock(&o->lock);
	}
	look_at_files(o);
	o->file++;
}

static void write_rec(struct ct_outbox *o, const struct ct_rec *rec)
{
	if (rec->type == NEXT_FILE)
		next_file(o);
	else if (o->store && !(o->no_details && is_detail(rec->type)) &&
		 ct_store_put(o->store, rec))
		note_error(o);
}

static void write_block(struct ct_outbox *o, const struct block *b)
{
	const struct node *n;
	size_t at;

	for (at = 0; at < b->used; at += n->len) {
		n = (const struct node *)((const char *)b->nodes + at);
		write_rec(o, &n->rec);
		o->queued -= n->len;
		o->unseen += n->len;
		if (o->files.max_len && o->unseen >= LOOK_LEN)
			commit(o);
	}
}

static void give_back(struct ct_outbox *o, struct block *b)
{
	pthread_mutex_lock(&o->lock);
	if (b->cap == BLOCK_LEN && o->nr_spare < SPARE_MAX) {
		b->next = o->spare;
		o->spare = b;
		o->nr_spare++;
		b = NULL;
	}
	pthread_mutex_unlock(&o->lock);
	free(b);
}

static void *disk_thread(void *arg)
{
	struct ct_outbox *o = arg;
	u64 last_commit = ct_now_ns();
	bool dirty = false, stop = false;

	while (!stop) {
		struct block *b = take_all(o, dirty, &stop), *next;

		dirty |= b != NULL;
		for (; b; b = next) {
			next = b->next;
			write_block(o, b);
			give_back(o, b);
		}
		if (dirty && ct_now_ns() - last_commit >= COMMIT_NS) {
			commit(o);
			last_commit = ct_now_ns();
			dirty = false;
		} else if (!dirty) {
			last_commit = ct_now_ns();
		}
	}
	return NULL;
}

int ct_outbox_create(struct ct_store *store, struct ct_outbox **ret)
{
	struct ct_outbox *o = calloc(1, sizeof(*o));
	pthread_condattr_t attr;

	if (!o)
		return -ENOMEM;
	o->store = store;
	o->tail = &o->head;
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&o->wake, &attr);
	pthread_condattr_destroy(&attr);
	if (pthread_create(&o->thread, NULL, disk_thread, o)) {
		free(o);
		return -EAGAIN;
	}
	*ret = o;
	return 0;
}

void ct_outbox_set_files(struct ct_outbox *o, const struct ct_outbox_files *files)
{
	/* The disk thread waits for a first record, and looks at nothing before. */
	pthread_mutex_lock(&o->lock);
	o->files = *files;
	ct_store_keep_wal(o->store, files->wal_len);
	pthread_mutex_unlock(&o->lock);
}

u32 ct_outbox_file(const struct ct_outbox *o)
{
	return atomic_load_explicit(&o->file, memory_order_acquire);
}

u64 ct_outbox_file_len(const struct ct_outbox *o)
{
	return atomic_load_explicit(&o->file_len, memory_order_relaxed);
}

u64 ct_outbox_nr_put(const struct ct_outbox *o)
{
	return atomic_load_explicit(&o->nr_put, memory_order_relaxed);
}

size_t ct_outbox_queued(const struct ct_outbox *o)
{
	return atomic_load_explicit(&o->queued, memory_order_relaxed);
}

u64 ct_outbox_lost(struct ct_outbox *o, u64 *ret_events)
{
	u64 n;

	pthread_mutex_lock(&o->lock);
	n = o->lost;
	*ret_events = o->lost_events;
	pthread_mutex_unlock(&o->lock);
	return n;
}

const char *ct_outbox_error(struct ct_outbox *o)
{
	const char *e;

	pthread_mutex_lock(&o->lock);
	e = o->error[0] ? o->error : NULL;
	pthread_mutex_unlock(&o->lock);
	return e;
}

int ct_outbox_finish(struct ct_outbox *o, const char *why_incomplete, struct ct_err *err)
{
	struct block *next;
	int ret;

	pthread_mutex_lock(&o->lock);
	o->stop = true;
	pthread_mutex_unlock(&o->lock);
	pthread_cond_signal(&o->wake);
	pthread_join(o->thread, NULL);
	if (!why_incomplete && o->error[0])
		why_incomplete = o->error;
	if (o->store)
		ret = ct_store_finish(o->store, why_incomplete, err);
	else
		ret = ct_err_set(err, -EIO, "%s", o->error);
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->wake);
	for (; o->spare; o->spare = next) {
		next = o->spare->next;
		free(o->spare);
	}
	free(o);
	return ret;
}

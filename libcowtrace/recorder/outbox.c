/* SPDX-License-Identifier: MIT */
/*
 * The outbox: deep copies of records in a list, and the thread that writes them.
 *
 * Commits twice a second while there is anything to commit, so that a trace
 * whose recorder is killed holds everything up to the last second.
 *
 * Invariant: only the disk thread calls the store between create and finish.
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

struct node {
	struct node *next;
	size_t len;
	struct ct_rec rec;
	/* strings and arrays of the record follow */
};

struct ct_outbox {
	struct ct_store *store;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct node *head, **tail;
	_Atomic size_t queued; /* bytes, with those that the disk thread is writing */
	u64 lost, lost_events;
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

static struct node *node_create(const struct ct_rec *rec)
{
	struct ct_rec copy = *rec;
	struct part p[MAX_PARTS];
	size_t len = sizeof(struct node);
	struct node *n;
	char *at;
	int i, nr = parts_of(&copy, p);

	for (i = 0; i < nr; i++)
		len += (p[i].len + 7) & ~7UL;
	n = malloc(len);
	if (!n)
		return NULL;
	at = (char *)(n + 1);
	for (i = 0; i < nr; i++) {
		memcpy(at, *p[i].ptr, p[i].len);
		*p[i].ptr = at;
		at += (p[i].len + 7) & ~7UL;
	}
	n->rec = copy;
	n->len = len;
	n->next = NULL;
	return n;
}

static size_t room_for(const struct ct_rec *rec)
{
	return rec->type == CT_REC_EVENT || rec->type == CT_REC_RUNS ? EVENTS_MAX : QUEUE_MAX;
}

void ct_outbox_put(struct ct_outbox *o, const struct ct_rec *rec)
{
	struct node *n = node_create(rec);
	bool wake;

	pthread_mutex_lock(&o->lock);
	if (!n || o->queued + n->len > room_for(rec)) {
		if (rec->type == CT_REC_EVENT)
			o->lost_events++;
		else
			o->lost++;
		pthread_mutex_unlock(&o->lock);
		free(n);
		return;
	}
	*o->tail = n;
	o->tail = &n->next;
	o->queued += n->len;
	wake = o->idle || o->queued > QUEUE_MAX / 4;
	o->idle = false;
	pthread_mutex_unlock(&o->lock);
	if (wake)
		pthread_cond_signal(&o->wake);
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
static struct node *take_all(struct ct_outbox *o, bool dirty, bool *ret_stop)
{
	struct node *n;

	pthread_mutex_lock(&o->lock);
	while (!o->head && !o->stop && !dirty) {
		o->idle = true;
		pthread_cond_wait(&o->wake, &o->lock);
	}
	o->idle = false;
	if (!o->stop && o->queued < QUEUE_MAX / 4)
		wait_for(o, GATHER_NS);
	n = o->head;
	o->head = NULL;
	o->tail = &o->head;
	*ret_stop = o->stop && !n;
	pthread_mutex_unlock(&o->lock);
	return n;
}

static void note_error(struct ct_outbox *o)
{
	const char *text = ct_store_error(o->store);

	pthread_mutex_lock(&o->lock);
	if (text && !o->error[0])
		snprintf(o->error, sizeof(o->error), "%s", text);
	pthread_mutex_unlock(&o->lock);
}

static void *disk_thread(void *arg)
{
	struct ct_outbox *o = arg;
	u64 last_commit = ct_now_ns();
	bool dirty = false, stop = false;

	while (!stop) {
		struct node *n = take_all(o, dirty, &stop), *next;

		dirty |= n != NULL;
		for (; n; n = next) {
			next = n->next;
			if (ct_store_put(o->store, &n->rec))
				note_error(o);
			o->queued -= n->len;
			free(n);
		}
		if (dirty && ct_now_ns() - last_commit >= COMMIT_NS) {
			if (ct_store_commit(o->store))
				note_error(o);
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
	int ret;

	pthread_mutex_lock(&o->lock);
	o->stop = true;
	pthread_mutex_unlock(&o->lock);
	pthread_cond_signal(&o->wake);
	pthread_join(o->thread, NULL);
	if (!why_incomplete && o->error[0])
		why_incomplete = o->error;
	ret = ct_store_finish(o->store, why_incomplete, err);
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->wake);
	free(o);
	return ret;
}

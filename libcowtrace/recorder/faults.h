/* SPDX-License-Identifier: MIT */
/*
 * The perf engine's half in the recorder: it holds the programs' events, and makes
 * first writes of the faults that their handlers have told.
 *
 * All of it belongs to the serving thread.  c->faults is NULL with another engine;
 * then every function here does nothing.
 */
#ifndef CT_RECORDER_FAULTS_H
#define CT_RECORDER_FAULTS_H

#include "recorder/state.h"

struct ct_written;

/* Makes the socket to which events are sent, and fills c->seg->perf.  0 or -errno. */
int ct_faults_create(struct ct_rec_ctx *c, u64 period);
void ct_faults_destroy(struct ct_rec_ctx *c);

/* Takes in what the handlers have told; cheap, also in the middle of a reading. */
void ct_faults_ingest(struct ct_rec_ctx *c);
/* Ingests, and tells what can be told. */
void ct_faults_run(struct ct_rec_ctx *c, u64 now);
/* When ct_faults_run() has something to do again: CLOCK_MONOTONIC, or UINT64_MAX. */
u64 ct_faults_due(const struct ct_rec_ctx *c);

/* p is about to fork: its event is enabled, where it has one and may. */
void ct_faults_arm(struct ct_rec_ctx *c, struct ct_proc *p);
/* p steps back: its event is closed. */
void ct_faults_disarm(struct ct_rec_ctx *c, struct ct_proc *p);
/* p is about to exec, or has not: its event is switched off, or on again. */
void ct_faults_pause(struct ct_rec_ctx *c, struct ct_proc *p);
void ct_faults_resume(struct ct_rec_ctx *c, struct ct_proc *p);
/* Switches events off that have had no relative for c->linger_ns. */
void ct_faults_lift(struct ct_rec_ctx *c, u64 now);

/*
 * Drops of p are about to take effect: what was written before them is placed now,
 * while it can be told where it was.
 */
void ct_faults_place(struct ct_rec_ctx *c, struct ct_proc *p);

/*
 * p is about to be closed with this reading (NULL: it could not be read): tells all of
 * its faults.
 */
void ct_faults_settle(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_image *now);

/*
 * A child has been read; the parent's older shares are still there.  at_clone: what
 * both had; back_ns: when the parent came back from its clone, or now.
 */
void ct_faults_forked(struct ct_rec_ctx *c, struct ct_proc *parent, const struct ct_image *at_clone,
		      u64 clone_ns, u64 back_ns);
/* The new shares are there.  What the child wrote before it was read is fork()'s. */
void ct_faults_born(struct ct_rec_ctx *c, struct ct_proc *child, const struct ct_image *now,
		    const struct ct_written *written, const u64 *pcs, u32 nr_pcs);
/* p is about to be forgotten. */
void ct_faults_ended(struct ct_rec_ctx *c, struct ct_proc *p);

/* Why a copied page of p has no call site, when no fault told of it. */
enum ct_no_site ct_faults_unseen(const struct ct_rec_ctx *c, const struct ct_proc *p);

#endif

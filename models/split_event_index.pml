/* SPDX-License-Identifier: MIT */
/*
 * Split ring with EVENT_IDX (sections 2.7.7 and 2.7.10): each side names the index at which it wants
 * the next notification, the other decides by the event test, for batches of any size. As in
 * split_flags.pml, stores go through a buffer per side and a full barrier waits until one's own is
 * empty; both sides asleep with work in the ring is an invalid end state.
 *
 * The indexes are 16 bits wide in reality and run around MODULUS here, again and again; a queue has
 * up to half as many entries. The driver may ask for a notification after several completions.
 * Any number of entries may go by between two decisions: how many is not to be counted modulo 2^16.
 * Nobody takes a wish back: with EVENT_IDX a side that is awake lets its old wish stand, or names an
 * index far away.
 *
 * -DEXACT compares the test with what it stands for: one of the entries published since the last
 * decision is the one named. A test that is too generous wakes nobody too few, and shows up there.
 *
 * Clauses V-2.7.7.2-5, V-2.7.7.2-6, D-2.7.10.1-6, D-2.7.10.1-7 and D-2.7.13.4.1-1.
 *
 * run: holds -DEXACT
 * run: holds -DEXACT -DQUEUE_SIZE=1 -DMODULUS=4
 * run: holds -DEXACT -DPROMPT_DECISIONS -DQUEUE_SIZE=3 -DMODULUS=6 -DSTORES=1
 * run: sleeps -DNO_BARRIER_DRIVER_KICKS
 * run: sleeps -DNO_BARRIER_DRIVER_SLEEPS
 * run: sleeps -DNO_BARRIER_DEVICE_NOTIFIES
 * run: sleeps -DNO_BARRIER_DEVICE_SLEEPS
 * run: sleeps -DNO_LOOK_DRIVER_SLEEPS
 * run: sleeps -DNO_LOOK_DEVICE_SLEEPS
 * run: sleeps -DDRIVER_FORGETS_OLD
 * run: sleeps -DDEVICE_FORGETS_OLD
 * run: sleeps -DTEST_OFF_BY_ONE
 * run: wrong -DEXACT -DTEST_OR_EQUAL
 * run: sleeps -DTEST_LAST_ENTRY_ONLY
 * run: sleeps -DSINCE_OF_16_BITS
 */
#ifndef QUEUE_SIZE
#define QUEUE_SIZE 2
#endif
#ifndef MODULUS
#define MODULUS 4
#endif

#ifndef STORES
#define STORES 3 /* Room of a store buffer. */
#endif

#define MINUS(a, b)   (((a) + MODULUS - (b)) % MODULUS)
#define PLUS(a, b)    (((a) + (b)) % MODULUS)
#define MINUS_ONE(a)  MINUS(a, 1)

/* The event test: is `event` one of the `since` entries before `new`? */
#if defined(TEST_OR_EQUAL)
#define WANTED(new, since, event) (MINUS_ONE(MINUS(new, event)) <= (since))
#elif defined(TEST_OFF_BY_ONE)
#define WANTED(new, since, event) (MINUS(new, event) < (since))
#elif defined(TEST_LAST_ENTRY_ONLY)
#define WANTED(new, since, event) (MINUS_ONE(new) == (event))
#elif defined(SINCE_OF_16_BITS)
#define WANTED(new, since, event) (MINUS_ONE(MINUS(new, event)) < (since) % MODULUS)
#else
#define WANTED(new, since, event) (MINUS_ONE(MINUS(new, event)) < (since))
#endif

/* Publishing more than there are values of an index makes no further difference. */
#define COUNT(since) since = (since < MODULUS -> since + 1 : since)

#ifdef PROMPT_DECISIONS
#define MAY_PUBLISH(since) ((since) == 0)
#else
#define MAY_PUBLISH(since) true
#endif

#ifdef DRIVER_FORGETS_OLD
#define DRIVER_SINCE avail
#else
#define DRIVER_SINCE since
#endif
#ifdef DEVICE_FORGETS_OLD
#define DEVICE_SINCE used
#else
#define DEVICE_SINCE since
#endif

mtype = { INDEX, EVENT };

byte avail_index; /* In memory, of the driver. */
byte used_event;
byte used_index; /* In memory, of the device. */
byte avail_event;

bit kicked; /* Notifications: sticky until taken, as an eventfd is. */
bit interrupted;

chan driver_stores = [STORES] of { mtype, byte };
chan device_stores = [STORES] of { mtype, byte };

/* By counting, what WANTED computes. */
inline check(wanted, new, event)
{
#ifdef EXACT
    index = new;
    hit = false;
    do
    :: since == 0 -> break
    :: else -> index = MINUS_ONE(index); hit = hit || index == event; since--
    od;
    assert(hit == (wanted));
    index = 0;
    hit = false
#else
    skip
#endif
}

active proctype memory()
{
    byte value;
end:
    do
    :: atomic { driver_stores?INDEX, value -> avail_index = value; value = 0 }
    :: atomic { driver_stores?EVENT, value -> used_event = value; value = 0 }
    :: atomic { device_stores?INDEX, value -> used_index = value; value = 0 }
    :: atomic { device_stores?EVENT, value -> avail_event = value; value = 0 }
    od
}

active proctype driver()
{
    byte avail; /* Published, */
    byte since; /* since it was last decided whether to kick, */
    byte used;  /* and taken back. */
    byte wish;  /* Completions to sleep for, but one. */
    byte index;
    bit hit;
    do
    :: atomic { MINUS(avail, used) < QUEUE_SIZE && MAY_PUBLISH(since) ->
           avail = PLUS(avail, 1);
           COUNT(since);
           do /* A batch is published at once. */
           :: MINUS(avail, used) < QUEUE_SIZE -> avail = PLUS(avail, 1); COUNT(since)
           :: break
           od };
       driver_stores!INDEX, avail

    :: used_index != used ->
       atomic { assert(avail != used); used = PLUS(used, 1) }

    :: since != 0 ->
#ifndef NO_BARRIER_DRIVER_KICKS
       empty(driver_stores);
#endif
       atomic {
           if
           :: WANTED(avail, DRIVER_SINCE, avail_event) -> kicked = 1;
              check(true, avail, avail_event)
           :: else -> check(false, avail, avail_event)
           fi;
           since = 0
       }

    :: avail != used && since == 0 && used_index == used -> /* Waits for `wish` + 1. */
       atomic {
           if
           :: true
           :: MINUS(avail, used) > 1 -> wish = MINUS(avail, used) - 1
           fi
       };
       driver_stores!EVENT, PLUS(used, wish);
#ifndef NO_BARRIER_DRIVER_SLEEPS
       empty(driver_stores);
#endif
       if
#ifndef NO_LOOK_DRIVER_SLEEPS
       :: MINUS(used_index, used) > wish
#endif
       :: else -> atomic { interrupted -> interrupted = 0 }
       fi;
       wish = 0;
       if
       :: true
       :: driver_stores!EVENT, MINUS_ONE(used)
       fi
    od
}

active proctype device()
{
    byte taken; /* Taken from the driver, */
    byte used;  /* finished and published, */
    byte since; /* since it was last decided whether to notify. */
    byte index;
    bit hit;
    do
    :: avail_index != taken ->
       atomic { taken = PLUS(taken, 1); assert(MINUS(taken, used) <= QUEUE_SIZE) }

    :: atomic { taken != used && MAY_PUBLISH(since) ->
           used = PLUS(used, 1);
           COUNT(since);
           do
           :: taken != used -> used = PLUS(used, 1); COUNT(since)
           :: break
           od };
       device_stores!INDEX, used

    :: since != 0 ->
#ifndef NO_BARRIER_DEVICE_NOTIFIES
       empty(device_stores);
#endif
       atomic {
           if
           :: WANTED(used, DEVICE_SINCE, used_event) -> interrupted = 1;
              check(true, used, used_event)
           :: else -> check(false, used, used_event)
           fi;
           since = 0
       }

    :: since == 0 && avail_index == taken -> /* Waits. */
       device_stores!EVENT, taken;
#ifndef NO_BARRIER_DEVICE_SLEEPS
       empty(device_stores);
#endif
       if
#ifndef NO_LOOK_DEVICE_SLEEPS
       :: avail_index != taken
#endif
       :: else ->
          if
          :: atomic { kicked -> kicked = 0 }
          :: taken != used /* Work in progress ends. */
          fi
       fi;
       if
       :: true
       :: device_stores!EVENT, MINUS_ONE(taken)
       fi
    od
}

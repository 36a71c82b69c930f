/* SPDX-License-Identifier: MIT */
/*
 * Packed ring (section 2.8): availability and use are seen in the flags of the descriptors, kicks and
 * interrupts are suppressed by an event suppression area of each side: ENABLE, DISABLE, or with
 * -DEVENT_IDX also DESC, which names a place of the ring and its round (the wrap counter).
 *
 * The driver makes lists of one or two descriptors available, in batches whose very first descriptor
 * gets its flags last; the device finishes lists in any order, and one used entry per list goes to
 * the place where it is next to write one. Both go around the ring again and again.
 *
 * As in split_flags.pml, stores go through a buffer per side and a full barrier waits until one's
 * own is empty; both sides asleep with work in the ring is an invalid end state. A side polls a
 * place that it has written itself; the value it finds in memory instead of its own buffer is of an
 * earlier round, and means the same to it: nothing here.
 *
 * -DEXACT compares the event tests with what they stand for: one of the places written since the last
 * decision is the one named, and in the same round. Any number of rounds may go by between two
 * decisions.
 *
 * What makes runs with more entries feasible: -DFIFO, the device finishes in order; -DPROMPT, each
 * batch is followed by its decision; -DDISARM, a side that is awake always says DISABLE (else it may
 * let its old wish stand).
 *
 * Clauses D-2.8.17-6 and D-2.8.21.3.1-1.
 *
 * run: holds
 * run: holds -DEVENT_IDX -DEXACT -DDISARM -DPROMPT
 * run: holds -DEVENT_IDX -DEXACT -DDISARM -DFIFO
 * run: holds -DEVENT_IDX -DEXACT -DFIFO -DPROMPT
 * run: holds -DEVENT_IDX -DEXACT -DFIFO -DPROMPT -DDISARM -DSIZE=3 -DMODULUS=6 -DSTORES=1
 * run: sleeps -DNO_BARRIER_DRIVER_KICKS
 * run: sleeps -DNO_BARRIER_DRIVER_SLEEPS
 * run: sleeps -DNO_BARRIER_DEVICE_NOTIFIES
 * run: sleeps -DNO_BARRIER_DEVICE_SLEEPS
 * run: sleeps -DEVENT_IDX -DNO_BARRIER_DRIVER_KICKS
 * run: sleeps -DEVENT_IDX -DNO_BARRIER_DRIVER_SLEEPS
 * run: sleeps -DEVENT_IDX -DNO_BARRIER_DEVICE_NOTIFIES
 * run: sleeps -DEVENT_IDX -DNO_BARRIER_DEVICE_SLEEPS
 * run: sleeps -DNO_LOOK_DRIVER_SLEEPS
 * run: sleeps -DNO_LOOK_DEVICE_SLEEPS
 * run: sleeps -DEVENT_IDX -DTEST_OFF_BY_ONE
 * run: wrong -DEVENT_IDX -DEXACT -DTEST_OR_EQUAL
 * run: sleeps -DEVENT_IDX -DTEST_FORGETS_ROUND
 * run: sleeps -DEVENT_IDX -DDRIVER_FORGETS_OLD
 * run: sleeps -DEVENT_IDX -DDEVICE_FORGETS_OLD
 * run: sleeps -DEVENT_IDX -DFIFO -DDISARM -DROUNDS_MAY_GO_BY
 * run: sleeps -DEVENT_IDX -DFIFO -DPROMPT -DDISARM -DSIZE=3 -DMODULUS=6 -DLOOK_COUNTS_LISTS
 * run: wrong -DFLAGS_FIRST
 */
#ifndef SIZE
#define SIZE 2
#endif
#ifndef MODULUS
#define MODULUS 4 /* At least 2 * SIZE, as 2^16 is for 32768. */
#endif
#ifndef STORES
#define STORES 2 /* Room of a store buffer. */
#endif

#define ENABLE  0
#define DISABLE 1
#define DESC    2

/* Where a store goes: a place of the ring, or one's event suppression area, which the driver writes as
 * one word, the device in two halves, the place first. Both read it as one; half a wish is no wish. */
#define EVENTS       SIZE
#define EVENTS_OFF   (SIZE + 1)
#define EVENTS_FLAGS (SIZE + 2)

#define EVENT(flags, off) ((flags) | (off) << 2)
#define FLAGS(event)      ((event)&3)
#define OFF(event)        ((event) >> 2)

/* Flags of a descriptor and its id, in one byte. */
#define DESCRIPTOR(avail, used, next, id) ((avail) | (used) << 1 | (next) << 2 | (id) << 3)
#define AVAIL(descriptor)                 ((descriptor)&1)
#define USED(descriptor)                  ((descriptor) >> 1 & 1)
#define HAS_NEXT(descriptor)              ((descriptor) >> 2 & 1)
#define ID(descriptor)                    ((descriptor) >> 3)

/* A place and its round, in one byte. */
#define AT(place, round) ((place) << 1 | (round))
#define PLACE(at)        ((at) >> 1)
#define ROUND(at)        ((at)&1)

#define IS_AVAIL(at) (AVAIL(ring[PLACE(at)]) == ROUND(at) && USED(ring[PLACE(at)]) != ROUND(at))
#define IS_USED(at)  (AVAIL(ring[PLACE(at)]) == ROUND(at) && USED(ring[PLACE(at)]) == ROUND(at))

/* The place `count` further on, at most a whole ring. */
#define ON(at, count)                                                       \
    (PLACE(at) + (count) < SIZE -> AT(PLACE(at) + (count), ROUND(at)) :     \
                                   AT(PLACE(at) + (count) - SIZE, 1 - ROUND(at)))

/* As numbers: negative (plus MODULUS) if of the round before that of `now`. */
#ifdef TEST_FORGETS_ROUND
#define NUMBER(at, now) PLACE(at)
#else
#define NUMBER(at, now) (ROUND(at) == ROUND(now) -> PLACE(at) : PLACE(at) + MODULUS - SIZE)
#endif
#define MINUS(a, b) (((a) + MODULUS - (b)) % MODULUS)

/* The driver's event test: is `event` one of old .. now - 1? After a round nobody can tell: yes. */
#if defined(TEST_OR_EQUAL)
#define PASSED(now, old, event)                                                   \
    (MINUS(MINUS(PLACE(now), NUMBER(event, now)), 1) <= MINUS(PLACE(now), NUMBER(old, now)))
#elif defined(TEST_OFF_BY_ONE)
#define PASSED(now, old, event)                                                   \
    (MINUS(PLACE(now), NUMBER(event, now)) < MINUS(PLACE(now), NUMBER(old, now)))
#else
#define PASSED(now, old, event)                                                   \
    (MINUS(MINUS(PLACE(now), NUMBER(event, now)), 1) < MINUS(PLACE(now), NUMBER(old, now)))
#endif
#ifdef ROUNDS_MAY_GO_BY
#define WANTS_KICK(event) PASSED(avail, DRIVER_OLD, event)
#else
#define WANTS_KICK(event) (since > SIZE || PASSED(avail, DRIVER_OLD, event))
#endif

/* The device's: how far back is it, from where the next used entry goes? */
#ifdef TEST_FORGETS_ROUND
#define BACK(event) (PLACE(used) - PLACE(event))
#else
#define BACK(event) \
    (PLACE(used) - PLACE(event) + (ROUND(event) == ROUND(used) -> 0 : SIZE))
#endif
#define WANTS_INTERRUPT(event) \
    (BACK(event) > 0 && BACK(event) <= SIZE && BACK(event) <= DEVICE_SINCE)

/* Writing more than a round makes no further difference. */
#define SINCE(since) (since > SIZE + 1 -> SIZE + 1 : since)

#ifdef PROMPT
#define MAY_PUBLISH(since) ((since) == 0)
#else
#define MAY_PUBLISH(since) true
#endif

#ifdef DRIVER_FORGETS_OLD
#define DRIVER_OLD AT(0, 1)
#else
#define DRIVER_OLD decided
#endif
#ifdef DEVICE_FORGETS_OLD
#define DEVICE_SINCE 1
#else
#define DEVICE_SINCE since
#endif

byte ring[SIZE]; /* In memory, of both; 0 is of the round before the first. */
byte driver_events; /* In memory, of the driver. */
byte device_events; /* In memory, of the device. */

bit kicked; /* Notifications: sticky until taken, as an eventfd is. */
bit interrupted;

chan driver_stores = [STORES] of { byte, byte };
chan device_stores = [STORES] of { byte, byte };

/* By counting, what the tests compute; after more than a round a test may say yes too often. */
inline check(wanted, now, event)
{
#ifdef EXACT
    at = AT(PLACE(now), 1 - ROUND(now)); /* A round before, */
    at = ON(at, SIZE - (since > SIZE -> SIZE : since)); /* and forward to the first one since. */
    hit = false;
    do
    :: at == now && since == 0 -> break
    :: since > SIZE -> hit = wanted; since = 0; at = now
    :: else -> hit = hit || at == event; at = ON(at, 1); since--
    od;
    assert(hit == (wanted));
    at = 0;
    hit = false
#else
    skip
#endif
}

active proctype memory()
{
    byte where, value;
end:
    do
    :: atomic {
           driver_stores?where, value;
           if
           :: where < SIZE -> ring[where] = value
           :: where == EVENTS -> driver_events = value
           fi;
           where = 0;
           value = 0
       }
    :: atomic {
           device_stores?where, value;
           if
           :: where < SIZE -> ring[where] = value
           :: where == EVENTS_OFF -> device_events = EVENT(FLAGS(device_events), value)
           :: where == EVENTS_FLAGS -> device_events = EVENT(value, OFF(device_events))
           fi;
           where = 0;
           value = 0
       }
    od
}

active proctype driver()
{
    byte avail = AT(0, 1); /* Where the next descriptor goes, */
    byte decided = AT(0, 1); /* where that was when it was last decided whether to kick, */
    byte since;              /* and descriptors published since. */
    byte used = AT(0, 1);  /* Where the next used entry is looked for. */
    byte room = SIZE;
    byte length[SIZE]; /* By id: descriptors of the list; 0: not in flight. */
    byte id, count, at, held_place, held, wish;
    bit first, hit;
    do
    :: room > 0 && MAY_PUBLISH(since) ->
       first = true;
       do
       :: atomic {
              room > 0;
              if
              :: true -> count = 1
              :: room > 1 -> count = 2
              fi;
#ifdef FIFO
              id = PLACE(avail);
#else
              do
              :: length[id] == 0 -> break
              :: else -> id++
              od;
#endif
              assert(length[id] == 0);
              length[id] = count;
              room = room - count;
              since = SINCE(since + count)
          };
#ifdef FLAGS_FIRST
          driver_stores!PLACE(avail), DESCRIPTOR(ROUND(avail), 1 - ROUND(avail), count - 1, id);
#endif
          if
          :: count == 2 ->
             driver_stores!PLACE(ON(avail, 1)),
                 DESCRIPTOR(ROUND(ON(avail, 1)), 1 - ROUND(ON(avail, 1)), 0, id)
          :: else
          fi;
#ifndef FLAGS_FIRST
          if
          :: atomic {
                 first -> held_place = PLACE(avail);
                 held = DESCRIPTOR(ROUND(avail), 1 - ROUND(avail), count - 1, id)
             }
          :: else ->
             driver_stores!PLACE(avail), DESCRIPTOR(ROUND(avail), 1 - ROUND(avail), count - 1, id)
          fi;
#endif
          atomic {
              avail = ON(avail, count);
              id = 0;
              count = 0;
              first = false
          }
       :: !first -> break
       od;
#ifndef FLAGS_FIRST
       driver_stores!held_place, held;
       atomic { held_place = 0; held = 0 }
#endif

    :: atomic {
           IS_USED(used) ->
           id = ID(ring[PLACE(used)]);
           assert(length[id] != 0);
           room = room + length[id];
           used = ON(used, length[id]);
           length[id] = 0;
           id = 0
       }

    :: since > 0 ->
#ifndef NO_BARRIER_DRIVER_KICKS
       empty(driver_stores);
#endif
       atomic {
           if
           :: FLAGS(device_events) == DISABLE
           :: FLAGS(device_events) == ENABLE -> kicked = 1
           :: FLAGS(device_events) == DESC && WANTS_KICK(OFF(device_events)) ->
              check(true, avail, OFF(device_events));
              kicked = 1
           :: FLAGS(device_events) == DESC && !WANTS_KICK(OFF(device_events)) ->
              check(false, avail, OFF(device_events))
           fi;
           decided = avail;
           since = 0
       }

    :: room < SIZE && since == 0 && !IS_USED(used) -> /* Waits for `wish` + 1 descriptors. */
#ifdef EVENT_IDX
       atomic {
           do
           :: id < SIZE && length[id] != 0 -> count++; id++
           :: id < SIZE && length[id] == 0 -> id++
           :: id == SIZE -> break
           od;
           id = 0;
           do
           :: wish + 1 < count -> wish++
           :: break
           od;
           count = 0
       };
       driver_stores!EVENTS, EVENT(DESC, ON(used, wish));
#else
       driver_stores!EVENTS, EVENT(ENABLE, 0);
#endif
#ifndef NO_BARRIER_DRIVER_SLEEPS
       empty(driver_stores);
#endif
       /* Goes over what is used until it is past the place named. */
       atomic {
           at = used;
#ifndef NO_LOOK_DRIVER_SLEEPS
           do
           :: count <= wish && IS_USED(at) ->
              id = ID(ring[PLACE(at)]);
#ifdef LOOK_COUNTS_LISTS
              count++;
#else
              count = count + length[id];
#endif
              at = ON(at, length[id])
           :: else -> break
           od;
#endif
           id = 0;
           at = 0
       };
       if
       :: count > wish
       :: else -> atomic { interrupted -> interrupted = 0 }
       fi;
       atomic { wish = 0; count = 0 };
       if
#ifndef DISARM
       :: true
#endif
       :: driver_stores!EVENTS, EVENT(DISABLE, 0)
       fi
    od
}

active proctype device()
{
    byte avail = AT(0, 1);   /* Where the next list is looked for. */
    byte used = AT(0, 1);    /* Where the next used entry goes, */
    byte since;              /* and descriptors used since it was last decided whether to notify. */
    byte length[SIZE];       /* By id: descriptors of the list; 0: not taken. */
    byte busy;               /* Descriptors taken. */
    byte id, at;
    bit hit;
    do
    :: atomic {
           IS_AVAIL(avail) ->
           id = ID(ring[PLACE(avail)]);
           assert(length[id] == 0);
           length[id] = 1 + HAS_NEXT(ring[PLACE(avail)]);
           avail = ON(avail, 1)
       };
       atomic {
           if
           :: length[id] == 2 -> /* The rest of a list is there with its first descriptor. */
              assert(IS_AVAIL(avail) && ID(ring[PLACE(avail)]) == id);
              avail = ON(avail, 1)
           :: else
           fi;
           busy = busy + length[id];
           assert(busy <= SIZE);
           id = 0
       }

    :: busy > 0 && MAY_PUBLISH(since) ->
       do
       :: atomic {
#ifdef FIFO
              id = PLACE(used);
              if
              :: length[id] != 0
              :: else -> goto none
              fi
#else
              do
              :: length[id] != 0 -> break
              :: id + 1 < SIZE -> id++
              :: else -> goto none
              od
#endif
          };
          device_stores!PLACE(used), DESCRIPTOR(ROUND(used), ROUND(used), 0, id);
          atomic {
              used = ON(used, length[id]);
              since = SINCE(since + length[id]);
              busy = busy - length[id];
              length[id] = 0;
              id = 0
          };
          if
          :: true
          :: break
          fi
       od;
none:  id = 0

    :: since > 0 ->
#ifndef NO_BARRIER_DEVICE_NOTIFIES
       empty(device_stores);
#endif
       atomic {
           if
           :: FLAGS(driver_events) == DISABLE
           :: FLAGS(driver_events) == ENABLE -> interrupted = 1
           :: FLAGS(driver_events) == DESC && WANTS_INTERRUPT(OFF(driver_events)) ->
              check(true, used, OFF(driver_events));
              interrupted = 1
           :: FLAGS(driver_events) == DESC && !WANTS_INTERRUPT(OFF(driver_events)) ->
              check(false, used, OFF(driver_events))
           fi;
           since = 0
       }

    :: since == 0 && !IS_AVAIL(avail) -> /* Waits. */
#ifdef EVENT_IDX
       device_stores!EVENTS_OFF, avail;
       device_stores!EVENTS_FLAGS, DESC;
#else
       device_stores!EVENTS_FLAGS, ENABLE;
#endif
#ifndef NO_BARRIER_DEVICE_SLEEPS
       empty(device_stores);
#endif
       if
#ifndef NO_LOOK_DEVICE_SLEEPS
       :: IS_AVAIL(avail)
#endif
       :: else ->
          if
          :: atomic { kicked -> kicked = 0 }
          :: busy > 0 /* Work in progress ends. */
          fi
       fi;
       if
#ifndef DISARM
       :: true
#endif
       :: device_stores!EVENTS_FLAGS, DISABLE
       fi
    od
}

// Block barriers, warp collectives and fences. A collective is a meeting of the lanes its mask
// names; the last to arrive computes what needs all lanes and makes everybody runnable.
#include <cstdlib>
#include <cstring>

#include "state.h"

namespace cuemu {
namespace {

[[maybe_unused]] char fence_token;
auto& meeting_pool = *new std::vector<Meeting*>;

const char* name_of(Op op) {
  switch (op) {
    case Op::kSyncWarp:
      return "__syncwarp";
    case Op::kBallot:
      return "__ballot_sync";
    case Op::kAny:
      return "__any_sync";
    case Op::kAll:
      return "__all_sync";
    case Op::kReduce:
      return "__reduce_sync";
    case Op::kShfl:
      return "__shfl_sync";
    case Op::kShflUp:
      return "__shfl_up_sync";
    case Op::kShflDown:
      return "__shfl_down_sync";
    case Op::kShflXor:
      return "__shfl_xor_sync";
    case Op::kMmaS8:
      return "mma.m16n8k32.s8";
    case Op::kMmaS4:
      return "mma.m16n8k64.s4";
    case Op::kLdMatrix:
      return "ldmatrix";
  }
  return "";
}

void open_barrier(Barrier& barrier) {
  barrier.result = barrier.predicates;
  barrier.predicates = 0;
  barrier.arrived = 0;
  ++barrier.generation;
  for (Fiber* fiber : barrier.waiting) {
    make_ready(fiber);
  }
  barrier.waiting.clear();
  ++stats.barriers;
}

void set_waiting(const char* what, const char* file, int line, uint32_t mask) {
  me->what = what;
  me->file = file;
  me->line = line;
  me->mask = mask;
}

// The meeting of this mask, joined or opened. Lanes of other masks may wait elsewhere and come
// later, but two different collectives with the same mask can never both complete.
Meeting* join(Warp& warp, uint32_t mask, Op op, const char* file, int line) {
  for (Meeting* open : warp.open) {
    if (open->mask != mask) {
      continue;
    }
    if (open->op != op || open->line != line) {
      fail(
          "%s:%d: lane %u calls %s with mask %08x while lanes %08x wait in %s at %s:%d with the "
          "same mask",
          file, line, cur->lane, name_of(op), mask, open->arrived, name_of(open->op), open->file,
          open->line);
    }
    return open;
  }
  Meeting* meeting = nullptr;
  if (meeting_pool.empty()) {
    meeting = new Meeting;
  } else {
    meeting = meeting_pool.back();
    meeting_pool.pop_back();
  }
  meeting->mask = mask;
  meeting->arrived = 0;
  meeting->op = op;
  meeting->file = file;
  meeting->line = line;
  meeting->left = static_cast<uint32_t>(__builtin_popcount(mask & warp.valid));
  warp.open.push_back(meeting);
  return meeting;
}

void complete(Warp& warp, Meeting* meeting, Combine combine) {
  std::erase(warp.open, meeting);
  if (combine != nullptr) {
    combine(meeting);
  }
  ++stats.collectives;
  const unsigned base = cur->warp * 32;
  for (uint32_t lanes = meeting->mask & warp.valid; lanes != 0; lanes &= lanes - 1) {
    make_ready(me->block->fibers[base + static_cast<unsigned>(__builtin_ctz(lanes))]);
  }
}

}  // namespace

int block_barrier(int predicate, const char* file, int line) {
  const Quiet quiet;
  Barrier& barrier = me->block->barrier;
  if (barrier.arrived > 0) {
    const Fiber* other = barrier.waiting[0];
    if (std::strcmp(other->file, file) != 0 || other->line != line) {
      fail("divergent __syncthreads: thread (%u,%u,%u) waits at %s:%d, another arrives at %s:%d",
           other->ctx.tid.x, other->ctx.tid.y, other->ctx.tid.z, other->file, other->line, file,
           line);
    }
  }
  set_waiting("__syncthreads", file, line, 0);
  ++barrier.arrived;
  barrier.predicates += predicate;
  char* token = &barrier.token[barrier.generation & 1];
  release(token);
  barrier.waiting.push_back(me);
  if (barrier.arrived == me->block->live) {
    open_barrier(barrier);
  }
  wait();
  acquire(token);
  me->what = nullptr;
  return barrier.result;
}

// Threads that have returned no longer count: the rest may be complete now.
void barrier_after_exit(Block* block) {
  const Quiet quiet;
  Barrier& barrier = block->barrier;
  if (barrier.arrived > 0 && barrier.arrived == block->live) {
    open_barrier(barrier);
  }
}

Meeting* warp_meet(uint32_t mask, Op op, const uint32_t* in, int n, Combine combine,
                   const char* file, int line) {
  const Quiet quiet;
  Warp& warp = me->block->warps[cur->warp];
  const uint32_t bit = 1u << cur->lane;
  if ((mask & bit) == 0) {
    fail("%s:%d: %s: calling lane %u is not in its mask %08x", file, line, name_of(op), cur->lane,
         mask);
  }
  if ((mask & warp.exited) != 0) {
    fail("%s:%d: %s mask %08x names exited lanes %08x", file, line, name_of(op), mask,
         mask & warp.exited);
  }
  Meeting* meeting = join(warp, mask, op, file, line);
  for (int i = 0; i < n; ++i) {
    meeting->in[cur->lane][i] = in[i];
  }
  meeting->arrived |= bit;
  set_waiting(name_of(op), file, line, mask);
  if (op == Op::kSyncWarp) {  // shuffles and votes do not order memory
    release(meeting);
  }
  if (meeting->arrived == (mask & warp.valid)) {
    complete(warp, meeting, combine);
  }
  wait();
  if (op == Op::kSyncWarp) {
    acquire(meeting);
  }
  me->what = nullptr;
  return meeting;
}

void warp_leave(Meeting* meeting) {
  const Quiet quiet;
  if (--meeting->left > 0) {
    return;
  }
#if defined(CUEMU_TSAN)
  if (meeting->op == Op::kSyncWarp) {  // a token must not be shared with a later meeting
    delete meeting;
    return;
  }
#endif
  meeting_pool.push_back(meeting);
}

// Modelled as one global release and acquire, so TSan may miss a race of two threads that both
// fence.
void fence() {
  release(&fence_token);
  acquire(&fence_token);
}

}  // namespace cuemu

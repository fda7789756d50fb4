// Memory for the activations of a call.
//
// malloc serves a model badly: what one layer's 25 MB left behind is cut up for the next ones, so that
// the following batch finds no room for 25 MB and the heap grows to twice what lives in it. Returning
// such memory to the system each time costs a page fault for every 4 KB instead. Here large tensors that
// are made during a call lie in blocks of their own. A freed block serves whatever fits best, and goes
// back to the system when no call takes it for a while, or the server is idle. What is made outside of
// a call, such as weights, is malloc's.

#include "blocks.h"

#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <unordered_map>
#include <vector>

#if defined(__linux__)
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

// Bytes from which on a tensor gets a block.
constexpr size_t kLarge = 256 << 10;
// A block is not taken for less than this part of it.
constexpr size_t kSmallestPart = 8;
// Bytes of free blocks that are kept, and for how long when no call takes them.
constexpr size_t kMostKept = 512 << 20;
constexpr auto kLongestKept = std::chrono::seconds(10);
// How often that is looked after.
constexpr auto kSweep = std::chrono::seconds(1);
// Nobody has called for so long: the server is idle.
constexpr auto kIdle = std::chrono::seconds(1);

thread_local int calls = 0;
std::atomic<Clock::rep> last_call{0};

#if defined(__linux__)

struct Block {
  void* data;
  size_t size;
};

struct Free {
  void* data;
  Clock::time_point since;
};

void unmap(const std::vector<Block>& blocks) {
  for (const Block& block : blocks) munmap(block.data, block.size);
}

class Blocks final : public c10::Allocator {
 public:
  at::DataPtr allocate(size_t size) override {
    if (calls == 0 || size < kLarge) return malloc_->allocate(size);
    void* data = taken(size);
    if (!data) data = mapped(size);
    // What there is no memory for is malloc's to refuse.
    if (!data) return malloc_->allocate(size);
    return {data, data, &Blocks::free, c10::Device(c10::kCPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &Blocks::free; }

  void copy_data(void* to, const void* from, size_t count) const override {
    default_copy_data(to, from, count);
  }

  void give_back() {
    std::vector<Block> given;
    {
      const std::lock_guard lock(mutex_);
      take_out(given, [](const Free&) { return true; });
    }
    unmap(given);
  }

  // Never destroyed: tensors may outlive it.
  static Blocks& instance() {
    static auto* const blocks = new Blocks(c10::GetDefaultCPUAllocator());
    return *blocks;
  }

 private:
  explicit Blocks(c10::Allocator* malloc) : malloc_(malloc) {}

  // The smallest free block that holds so much; null when there is none.
  void* taken(size_t size) {
    const std::lock_guard lock(mutex_);
    const auto found = free_.lower_bound(size);
    if (found == free_.end() || found->first / kSmallestPart > size) return nullptr;
    const size_t whole = found->first;
    void* data = found->second.data;
    used_.emplace(data, whole);
    free_.erase(found);
    kept_ -= whole;
    return data;
  }

  // Moves free blocks to `given`. The lock is held.
  template <typename Which>
  void take_out(std::vector<Block>& given, Which which) {
    for (auto block = free_.begin(); block != free_.end();) {
      if (!which(block->second)) {
        ++block;
        continue;
      }
      given.push_back({block->second.data, block->first});
      kept_ -= block->first;
      block = free_.erase(block);
    }
  }

  void* mapped(size_t size) {
    static const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t whole = (size + page - 1) / page * page;
    if (whole < size) return nullptr;
    void* data = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
      give_back();
      return nullptr;
    }
    const std::lock_guard lock(mutex_);
    used_.emplace(data, whole);
    return data;
  }

  // Frees a block, or what malloc gave.
  static void free(void* data) {
    Blocks& blocks = instance();
    std::unique_lock lock(blocks.mutex_);
    const auto found = blocks.used_.find(data);
    if (found == blocks.used_.end()) {
      lock.unlock();
      return blocks.malloc_->raw_deleter()(data);
    }
    const size_t size = found->second;
    blocks.used_.erase(found);
    std::vector<Block> given;
    const Clock::time_point now = Clock::now();
    if (blocks.kept_ + size <= kMostKept) {
      blocks.free_.emplace(size, Free{data, now});
      blocks.kept_ += size;
    } else {
      given.push_back({data, size});
    }
    if (now - blocks.swept_ >= kSweep) {
      blocks.swept_ = now;
      blocks.take_out(given, [now](const Free& block) { return now - block.since > kLongestKept; });
    }
    lock.unlock();
    unmap(given);
  }

  c10::Allocator* const malloc_;
  std::mutex mutex_;
  std::multimap<size_t, Free> free_;
  std::unordered_map<void*, size_t> used_;
  size_t kept_ = 0;
  Clock::time_point swept_;
};

// Before the first tensor.
const bool is_installed = [] {
  c10::SetAllocator(c10::kCPU, &Blocks::instance(), /*priority=*/1);
  return true;
}();

#endif

}  // namespace

InCall::InCall() { ++calls; }

InCall::~InCall() {
  --calls;
  last_call.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

void give_back() {
#if defined(__linux__)
  Blocks::instance().give_back();
#endif
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

void give_back_when_idle() {
  const Clock::time_point last{Clock::duration{last_call.load(std::memory_order_relaxed)}};
  if (Clock::now() - last < kIdle) return;
  give_back();
}

#include "threads.hpp"

#include <chrono>
#include <cstdint>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace assay {

#ifdef __linux__
static std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int core = 0; core < CPU_SETSIZE; ++core)
      if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

static void bind_to_core(std::thread& thread, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(thread.native_handle(), sizeof set, &set);  // a hint: without it everything works, only slower
}
#endif

int usable_cores() {
#ifdef __linux__
  int allowed = static_cast<int>(allowed_cores().size());
  if (allowed > 0) return allowed;
#endif
  int cores = static_cast<int>(std::thread::hardware_concurrency());
  return cores > 0 ? cores : 1;
}

Pool::Pool(int threads) {
  for (int worker = 0; worker < threads; ++worker) threads_.emplace_back([this, worker] { work(worker); });
#ifdef __linux__
  // fewer threads than cores are not bound: another process with such a pool would choose the same cores
  auto cores = allowed_cores();
  if (static_cast<int>(cores.size()) == threads)
    for (int worker = 0; worker < threads; ++worker) bind_to_core(threads_[worker], cores[worker]);
#endif
}

Pool::~Pool() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

// Subnormals are flushed to zero in this thread. They occur in the slots of weights whose gradient has become 0, and
// cost many times as much as normal numbers.
static void flush_subnormals() {
#if defined(__SSE2__)
  __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);  // results, and operands
#elif defined(__aarch64__) && defined(__has_builtin)
#if __has_builtin(__builtin_aarch64_set_fpcr64)
  __builtin_aarch64_set_fpcr64(__builtin_aarch64_get_fpcr64() | uint64_t{1} << 24);
#endif
#endif
}

void Pool::work(int worker) {
  flush_subnormals();
  unsigned long seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return ending_ || round_ != seen; });
    if (ending_) return;
    seen = round_;
    if (worker >= workers_) continue;
    auto* task = task_;
    lock.unlock();
    (*task)(worker);
    lock.lock();
    if (--running_ == 0) done_.notify_one();
  }
}

void Pool::run(int workers, const std::function<void(int)>& task, const std::function<void()>& poll) {
  using namespace std::chrono_literals;
  std::lock_guard run_lock(run_mutex_);
  std::unique_lock lock(mutex_);
  task_ = &task;
  workers_ = running_ = workers < size() ? workers : size();
  ++round_;
  wake_.notify_all();
  while (!done_.wait_for(lock, 20ms, [&] { return running_ == 0; })) {
    lock.unlock();
    poll();
    lock.lock();
  }
}

}  // namespace assay

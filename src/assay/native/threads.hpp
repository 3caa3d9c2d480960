// A pool of threads. If there are as many as cores that the process may use, each is bound to one core: tasks of
// milliseconds would otherwise share a core while another is idle.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace assay {

int usable_cores();

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return static_cast<int>(threads_.size()); }

  // Runs task(worker) on the first `workers` threads and returns when all have finished. Meanwhile it calls `poll`
  // every few milliseconds on the calling thread. Calls from several threads wait for each other.
  void run(int workers, const std::function<void(int)>& task, const std::function<void()>& poll);

 private:
  void work(int worker);

  std::vector<std::thread> threads_;
  std::mutex run_mutex_, mutex_;
  std::condition_variable wake_, done_;
  const std::function<void(int)>* task_ = nullptr;
  int workers_ = 0, running_ = 0;
  unsigned long round_ = 0;
  bool ending_ = false;
};

// Calls body(worker, from, to) for slices that cover 0 ... count, on all threads of the pool.
template <class Body>
void parallel_for(int64_t count, int64_t slice, Pool& pool, Body body) {
  std::atomic<int64_t> next = 0;
  pool.run(
      pool.size(),
      [&](int worker) {
        for (int64_t from; (from = next.fetch_add(slice)) < count;)
          body(worker, from, from + slice < count ? from + slice : count);
      },
      [] {});
}

}  // namespace assay

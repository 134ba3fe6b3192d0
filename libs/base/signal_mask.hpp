// Blocks every signal in the calling thread while it lives. Threads that are started meanwhile
// inherit the mask, so that SIGTERM and its like reach only the thread that waits for them. Child
// processes inherit it too: whoever forks must put the mask back before exec.
#pragma once

#include <pthread.h>

#include <csignal>

namespace raymesh {

class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t every;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace raymesh

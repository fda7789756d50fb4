// See blocks.cpp.
#pragma once

// While it lives, large tensors that this thread makes are in blocks that the next call takes again.
class InCall {
 public:
  InCall();
  ~InCall();
  InCall(const InCall&) = delete;
  InCall& operator=(const InCall&) = delete;
};

// Gives the system back the blocks that nobody uses.
void give_back_blocks();

// The same when no call was made for a second, and what malloc has kept of freed memory too.
void give_back_when_idle();

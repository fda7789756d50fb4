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

// Gives the system back the blocks that nobody uses, and what malloc has kept of freed memory.
void give_back();

// The same when no call was made for a second.
void give_back_when_idle();

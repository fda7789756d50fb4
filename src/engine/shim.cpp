// The part of libtorch that the crate tch does not reach: module loading under our own handle,
// freezing, InferenceMode, the signature, and what a module writes to when it is called.
//
// Every function catches every exception and reports it as text: nothing unwinds into Rust.

#include <torch/script.h>

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/runtime/jit_exception.h>

#include <cstring>
#include <new>
#include <string>
#include <unordered_set>

using torch::jit::Block;
using torch::jit::IValue;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

namespace {

enum ErrorKind { kFailed = 1, kOutOfMemory = 2, kInputRefused = 3 };

struct Error {
  char* message;  // malloc'ed, freed by torchfront_free_string
  int kind;
};

bool says_out_of_memory(const std::string& text) {
  return text.find("out of memory") != std::string::npos ||
         text.find("can't allocate memory") != std::string::npos;
}

void report(Error* error, const std::string& text, int kind) {
  error->message = strdup(text.c_str());
  error->kind = says_out_of_memory(text) ? kOutOfMemory : kind;
}

// Runs `body`; on an exception reports it and gives `fallback`.
template <typename Result, typename Body>
Result guarded(Error* error, Result fallback, Body body) noexcept {
  try {
    return body();
  } catch (const c10::Error& e) {
    report(error, e.what_without_backtrace(), kFailed);
  } catch (const std::bad_alloc&) {
    report(error, "out of memory", kOutOfMemory);
  } catch (const std::exception& e) {
    report(error, e.what(), kFailed);
  } catch (...) {
    report(error, "libtorch threw something that is no std::exception", kFailed);
  }
  return fallback;
}

c10::Device device_of(int index) {
  return index < 0 ? c10::Device(c10::kCPU) : c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

// What a call of `forward` writes to, found in its graph.
enum Writes { kWritesAttributes = 1, kWritesInputs = 2 };

// Collects the values that are read from attributes, at any depth; true when one is set.
bool attributes_are_set(const Block* block, std::unordered_set<const Value*>& read) {
  bool set = false;
  for (const Node* node : block->nodes()) {
    if (node->kind() == torch::jit::prim::SetAttr) set = true;
    if (node->kind() == torch::jit::prim::GetAttr) read.insert(node->output());
    for (const Block* inner : node->blocks()) set = attributes_are_set(inner, read) || set;
  }
  return set;
}

void writing_nodes(Block* block, std::vector<Node*>& nodes) {
  for (Node* node : block->nodes()) {
    nodes.push_back(node);
    for (Block* inner : node->blocks()) writing_nodes(inner, nodes);
  }
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void torchfront_free_string(char* text) { free(text); }

// The number of intra-op threads of the calling thread (OpenMP keeps it per thread).
EXPORT void torchfront_set_num_threads(int count) { at::set_num_threads(count); }

// `device`: -1 the CPU, else the CUDA device of that index. The module is in eval mode.
EXPORT Module* torchfront_load(const char* path, int device, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr), [&] {
    auto module = std::make_unique<Module>(torch::jit::load(path, device_of(device)));
    module->eval();
    return module.release();
  });
}

// A frozen copy: attributes become constants, those that `forward` writes stay attributes.
EXPORT Module* torchfront_freeze(const Module* module, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr),
                 [&] { return new Module(torch::jit::freeze(*module)); });
}

// A copy with attributes of its own, for a worker that must not share them.
EXPORT Module* torchfront_deepcopy(const Module* module, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr),
                 [&] { return new Module(module->deepcopy()); });
}

EXPORT void torchfront_free_module(Module* module) {
  Error ignored{nullptr, 0};
  guarded(&ignored, 0, [&] { delete module; return 0; });
  free(ignored.message);
}

// One call of `forward` under InferenceMode. The arguments are left to the caller. What the model
// raises itself is a failure; what its operators say of the arguments is a refusal. libtorch has no
// type for that difference but the one of a raised exception, so a fault of an operator that is
// nobody's input counts as a refusal too; errors of CUDA never do.
EXPORT IValue* torchfront_forward(Module* module, IValue* const* arguments, size_t count, Error* error) {
  return guarded(error, static_cast<IValue*>(nullptr), [&]() -> IValue* {
    c10::InferenceMode guard;
    std::vector<IValue> inputs;
    inputs.reserve(count + 1);
    for (size_t i = 0; i < count; ++i) inputs.push_back(*arguments[i]);
    try {
      return new IValue(module->forward(std::move(inputs)));
    } catch (const torch::jit::JITException& e) {
      report(error, e.getOriginalMsg().value_or(e.what()), kFailed);
    } catch (const c10::Error& e) {
      const std::string text = e.what_without_backtrace();
      report(error, text, text.find("CUDA") == std::string::npos ? kInputRefused : kFailed);
    } catch (const std::runtime_error& e) {
      const std::string text = e.what();
      report(error, text, text.find("CUDA") == std::string::npos ? kInputRefused : kFailed);
    }
    return nullptr;
  });
}

// One line per argument of `forward` without self: name, type, 1 if required. Freed by the caller.
EXPORT char* torchfront_signature(const Module* module, Error* error) {
  return guarded(error, static_cast<char*>(nullptr), [&] {
    std::string lines;
    const auto& arguments = module->get_method("forward").function().getSchema().arguments();
    for (size_t i = 1; i < arguments.size(); ++i) {
      const auto& argument = arguments[i];
      lines += argument.name() + "\t" + argument.type()->str() + "\t" +
               (argument.default_value() ? "0" : "1") + "\n";
    }
    return strdup(lines.c_str());
  });
}

// A set of `Writes`, or -1. Conservative: a write that cannot be told apart counts.
EXPORT int torchfront_writes(const Module* module, Error* error) {
  return guarded(error, -1, [&] {
    auto graph = module->get_method("forward").graph()->copy();
    torch::jit::Inline(*graph);
    int found = 0;
    std::unordered_set<const Value*> read;
    if (attributes_are_set(graph->block(), read)) found |= kWritesAttributes;
    torch::jit::AliasDb aliases(graph);
    torch::jit::ValueSet attributes, inputs;
    for (const Value* value : read) attributes.insert(value);
    for (size_t i = 1; i < graph->inputs().size(); ++i) inputs.insert(graph->inputs()[i]);
    std::vector<Node*> nodes;
    writing_nodes(graph->block(), nodes);
    for (Node* node : nodes) {
      if (aliases.writesToAlias(node, attributes)) found |= kWritesAttributes;
      if (aliases.writesToAlias(node, inputs)) found |= kWritesInputs;
    }
    return found;
  });
}

// The part of libtorch that the crate tch does not reach: module loading under our own handle,
// freezing and the other optimisations, InferenceMode, the signature, and what a module writes to
// when it is called.
//
// Every function catches every exception and reports it as text: nothing unwinds into Rust.

#include <torch/script.h>

#include "blocks.h"
#include "linears.h"
#include "norms.h"
#include "pools.h"
#include "winograd.h"

#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/ir/alias_analysis.h>
#include <torch/csrc/jit/ir/constants.h>
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

// How a module was converted: its weights at load, its arguments at each call.
enum Conversion { kChannelsLast = 1, kBfloat16 = 2 };

// `tensor` in the layout and precision of `conversion`. Integers keep their type; only rank 4 has a
// channels_last layout. At most one copy is made.
at::Tensor converted(const at::Tensor& tensor, int conversion) {
  const bool is_float = tensor.is_floating_point() && tensor.layout() == c10::kStrided;
  if (!is_float) return tensor;
  const bool last = (conversion & kChannelsLast) && tensor.dim() == 4;
  const bool cast = (conversion & kBfloat16) && tensor.scalar_type() != c10::kBFloat16;
  const auto format = last ? c10::MemoryFormat::ChannelsLast : c10::MemoryFormat::Preserve;
  if (cast) return tensor.to(c10::kBFloat16, /*non_blocking=*/false, /*copy=*/false, format);
  return last ? tensor.contiguous(format) : tensor;
}

// The same for an argument: a tensor, or a list or tuple of them. Others have no layout.
IValue converted(const IValue& value, int conversion) {
  if (conversion == 0) return value;
  if (value.isTensor() && value.toTensor().defined()) {
    return converted(value.toTensor(), conversion);
  }
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) {
      list.push_back(converted(tensor, conversion));
    }
    return list;
  }
  if (value.isTuple()) {
    std::vector<IValue> parts;
    for (const IValue& part : value.toTupleRef().elements()) {
      parts.push_back(converted(part, conversion));
    }
    return c10::ivalue::Tuple::create(std::move(parts));
  }
  return value;
}

// A copy whose weights are: parameters, buffers, and tensors that are plain attributes. What is converted is
// not copied first, and what is shared stays shared.
Module converted(const Module& module, int conversion) {
  const c10::NoGradGuard guard;
  IValue::HashIdentityIValueMap copies;
  for (const IValue& attribute : module.attributes()) {
    if (!attribute.isTensor() || !attribute.toTensor().defined()) continue;
    const at::Tensor copy = converted(attribute.toTensor(), conversion);
    if (!copy.is_same(attribute.toTensor())) copies.emplace(attribute, copy);
  }
  return Module(module._ivalue()->deepcopy(copies));
}

bool has_tensors(const Module& module) {
  for (const IValue& attribute : module.attributes()) {
    if (attribute.isTensor()) return true;
  }
  return false;
}

// The same for the constants of a frozen graph, in place.
void convert_constants(Block* block, int conversion) {
  const auto value = torch::jit::attr::value;
  for (Node* node : block->nodes()) {
    for (Block* inner : node->blocks()) convert_constants(inner, conversion);
    const bool is_tensor = node->kind() == torch::jit::prim::Constant && node->hasAttribute(value) &&
                           node->kindOf(value) == torch::jit::AttributeKind::t;
    if (!is_tensor || !node->t(value).defined()) continue;
    const at::Tensor own = converted(node->t(value), conversion);
    if (own.is_same(node->t(value))) continue;
    node->t_(value, own);
    node->output()->inferTypeFrom(own);
  }
}

// A traced graph keeps its convolutions as `_convolution`, which tells its rank by its strides.
bool convolves_in_2d(const Block* block) {
  for (const Node* node : block->nodes()) {
    const auto kind = node->kind();
    if (kind == c10::aten::conv2d || kind == c10::aten::conv_transpose2d) return true;
    if (kind == c10::aten::_convolution || kind == c10::aten::convolution) {
      // The list is built in the graph until constants are propagated.
      const Node* list = node->input(3)->node();
      if (list->kind() == torch::jit::prim::ListConstruct && list->inputs().size() == 2) return true;
      const auto stride = torch::jit::toIValue(node->input(3));
      if (stride && stride->isIntList() && stride->toIntVector().size() == 2) return true;
    }
    for (const Block* inner : node->blocks()) {
      if (convolves_in_2d(inner)) return true;
    }
  }
  return false;
}

// A loop, a call that could not be inlined, or a number that is read from a tensor and may size what
// comes next: with the shapes alone nobody knows how long the block takes.
bool time_depends_on_values(const Block* block) {
  static const std::unordered_set<c10::Symbol> kUnknown = {
      torch::jit::prim::Loop,
      torch::jit::prim::CallFunction,
      torch::jit::prim::CallMethod,
      torch::jit::prim::fork,
      c10::aten::Int,
      c10::aten::IntImplicit,
      c10::aten::ScalarImplicit,
      c10::aten::item,
      c10::Symbol::fromQualString("aten::tolist"),
      c10::Symbol::fromQualString("prim::tolist"),
      c10::aten::bincount,
      c10::aten::one_hot,
      c10::aten::repeat_interleave,
  };
  for (const Node* node : block->nodes()) {
    if (kUnknown.count(node->kind()) != 0) return true;
    for (const Block* inner : node->blocks()) {
      if (time_depends_on_values(inner)) return true;
    }
  }
  return false;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void torchfront_free_string(char* text) { free(text); }

// The number of intra-op threads of the calling thread (OpenMP keeps it per thread).
EXPORT void torchfront_set_num_threads(int count) { at::set_num_threads(count); }

// The calling thread works on this CUDA device from now on, on a stream of its own from libtorch's
// pool. Needs no header of CUDA: libtorch_cuda registers what stands behind the guard.
EXPORT int torchfront_use_own_stream(int device, Error* error) {
  return guarded(error, -1, [&] {
    const c10::impl::VirtualGuardImpl cuda(c10::kCUDA);
    const c10::Device chosen = device_of(device);
    cuda.setDevice(chosen);
    cuda.exchangeStream(cuda.getStreamFromGlobalPool(chosen));
    return 0;
  });
}

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
  return guarded(error, static_cast<Module*>(nullptr), [&] {
    Module frozen = torch::jit::freeze(*module);
    fuse_linears(frozen);
    replace_pools(frozen);
    return new Module(std::move(frozen));
  });
}

// A frozen copy that gives the same numbers: nothing is folded into weights, and on the CPU batch norms
// are fused with what follows them.
EXPORT Module* torchfront_freeze_exactly(const Module* module, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr), [&] {
    Module frozen = torch::jit::freeze(*module, std::nullopt, /*optimize_numerics=*/false);
    fuse_norms(frozen);
    fuse_linears(frozen);
    replace_pools(frozen);
    return new Module(std::move(frozen));
  });
}

// A frozen copy whose weights are converted (a set of `Conversion`), and whose convolutions are Winograd's
// where they are suited; `*count` is how many. Norms are fused, those of bfloat16 folded.
EXPORT Module* torchfront_freeze_winograd(const Module* module, int conversion, int* count, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr), [&] {
    const bool folds = conversion & kBfloat16;
    const auto frozen_of = [&](const Module& given) {
      return torch::jit::freeze(given, std::nullopt, /*optimize_numerics=*/folds);
    };
    // A layout alone is given to the weights that are left when the convolutions have theirs. What a call
    // writes to stays an attribute.
    Module frozen = folds ? frozen_of(converted(*module, conversion)) : frozen_of(*module);
    const bool has_all = !folds && !has_tensors(frozen);
    if (!folds && !has_all) frozen = frozen_of(converted(*module, conversion));
    if (!folds) fuse_norms(frozen);
    *count = fuse_winograd(frozen);
    if (has_all) convert_constants(frozen.get_method("forward").graph()->block(), conversion);
    fuse_linears(frozen);
    replace_pools(frozen);
    return new Module(std::move(frozen));
  });
}

// A frozen copy that is also prepared for this machine: convolutions folded, fused and laid out for
// oneDNN. It cannot be saved any more.
EXPORT Module* torchfront_optimize_for_inference(const Module* module, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr), [&] {
    Module frozen = torch::jit::freeze(*module);
    return new Module(torch::jit::optimize_for_inference(frozen));
  });
}

// A copy whose weights are converted, before it is frozen.
EXPORT Module* torchfront_convert(const Module* module, int conversion, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr), [&] {
    return new Module(converted(*module, conversion));
  });
}

// 1 when `forward` has a convolution over two dimensions, 0 when not, -1 on an error.
EXPORT int torchfront_convolves_in_2d(const Module* module, Error* error) {
  return guarded(error, -1, [&] {
    auto graph = module->get_method("forward").graph()->copy();
    torch::jit::Inline(*graph);
    return convolves_in_2d(graph->block()) ? 1 : 0;
  });
}

// 0 when the shapes of its arguments tell how long a call takes, 1 when their values may matter, too;
// -1 on an error.
EXPORT int torchfront_time_depends_on_values(const Module* module, Error* error) {
  return guarded(error, -1, [&] {
    auto graph = module->get_method("forward").graph()->copy();
    torch::jit::Inline(*graph);
    return time_depends_on_values(graph->block()) ? 1 : 0;
  });
}

// A copy with attributes of its own, for a worker that must not share them.
EXPORT Module* torchfront_deepcopy(const Module* module, Error* error) {
  return guarded(error, static_cast<Module*>(nullptr),
                 [&] { return new Module(module->deepcopy()); });
}

EXPORT void torchfront_free_module(Module* module) {
  Error ignored{nullptr, 0};
  guarded(&ignored, 0, [&] {
    delete module;
    give_back();
    return 0;
  });
  free(ignored.message);
}

// Gives the system back what a server that does nothing needs not keep.
EXPORT void torchfront_give_back_when_idle() {
  Error ignored{nullptr, 0};
  guarded(&ignored, 0, [&] {
    give_back_when_idle();
    return 0;
  });
  free(ignored.message);
}

// One call of `forward` under InferenceMode, with the arguments converted as the weights were. The
// arguments are left to the caller. What the model
// raises itself is a failure; what its operators say of the arguments is a refusal. libtorch has no
// type for that difference but the one of a raised exception, so a fault of an operator that is
// nobody's input counts as a refusal too; errors of CUDA never do.
EXPORT IValue* torchfront_forward(Module* module, IValue* const* arguments, size_t count,
                                  int conversion, Error* error) {
  return guarded(error, static_cast<IValue*>(nullptr), [&]() -> IValue* {
    const c10::InferenceMode guard;
    const InCall call;
    std::vector<IValue> inputs;
    inputs.reserve(count + 1);
    for (size_t i = 0; i < count; ++i) inputs.push_back(converted(*arguments[i], conversion));
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

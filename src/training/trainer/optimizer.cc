#include "training/trainer/optimizer.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace hearth::forge {
namespace {

constexpr int64_t kAlignment = 64;
// Elements gathered at once: bounds the memory for their copy.
constexpr int64_t kGatherElements = int64_t{1} << 28;

Status Wrong(const std::string& name, const std::string& what) {
  return MakeError(ErrorCode::kInvalidArgument, "parameter " + name + " " + what);
}

Status CheckParameters(const std::vector<NamedTensor>& parameters) {
  if (parameters.empty())
    return MakeError(ErrorCode::kInvalidArgument, "there is no parameter to train");
  const Tensor& first = parameters[0].tensor;
  std::set<const void*> seen;
  for (const NamedTensor& parameter : parameters) {
    const Tensor& tensor = parameter.tensor;
    if (!tensor.defined() || !tensor.is_leaf() || !tensor.requires_grad())
      return Wrong(parameter.name, "is no leaf that asks for gradients");
    if (tensor.scalar_type() != first.scalar_type() || tensor.device() != first.device())
      return Wrong(parameter.name, "is " + tensor.toString() + " on " + tensor.device().str() +
                                       ", the first is " + first.toString() + " on " +
                                       first.device().str());
    if (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kBFloat16)
      return Wrong(parameter.name, "is " + tensor.toString() + ", neither FP32 nor BF16");
    if (!seen.insert(tensor.unsafeGetTensorImpl()).second)
      return Wrong(parameter.name, "comes twice");
  }
  return {};
}

std::string Shape(const Tensor& tensor) {
  std::string text = "[";
  for (const int64_t size : tensor.sizes()) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(size);
  }
  return text + "]";
}

}  // namespace

Result<FlatAdamW> FlatAdamW::Make(const std::vector<NamedTensor>& parameters,
                                  const OptimizerOptions& options) {
  HEARTH_RETURN_IF_ERROR(CheckParameters(parameters));
  FlatAdamW optimizer;
  optimizer.options_ = options;
  // By group, else in the task's order.
  std::map<std::pair<double, double>, std::vector<const NamedTensor*>> by_group;
  for (const NamedTensor& parameter : parameters) {
    const double scale =
        options.learning_rate_scale ? options.learning_rate_scale(parameter.name) : 1;
    const double decay = parameter.tensor.dim() >= 2 ? options.weight_decay : 0;
    by_group[{scale, decay}].push_back(&parameter);
  }
  int64_t end = 0;
  for (const auto& [key, members] : by_group) {
    Group group{end, 0, key.first, key.second};
    for (const NamedTensor* member : members) {
      const int64_t count = member->tensor.numel();
      const int64_t padded = (count + kAlignment - 1) / kAlignment * kAlignment;
      optimizer.slots_.push_back({member->name, member->tensor, end, padded - count});
      optimizer.layout_.push_back(member->name + " " + Shape(member->tensor) + " at " +
                                  std::to_string(end));
      optimizer.num_parameters_ += count;
      end += padded;
    }
    group.size = end - group.begin;
    optimizer.groups_.push_back(group);
  }
  optimizer.size_ = end;

  const at::NoGradGuard no_gradients;
  const Tensor& first = parameters[0].tensor;
  const auto wide = at::TensorOptions().device(first.device()).dtype(at::kFloat);
  optimizer.zeros_ = at::zeros({kAlignment}, wide.dtype(first.scalar_type()));
  optimizer.compute_ = at::zeros({end}, wide.dtype(first.scalar_type()));
  for (Slot& slot : optimizer.slots_) {
    const Tensor place =
        optimizer.compute_.narrow(0, slot.begin, slot.parameter.numel()).view(slot.parameter.sizes());
    place.copy_(slot.parameter);
    slot.parameter.set_data(place);
    slot.parameter.mutable_grad() = Tensor();
  }
  // Where they are FP32 these are the parameters themselves.
  optimizer.master_ = optimizer.compute_.to(at::kFloat);
  optimizer.moment1_ = at::zeros({end}, wide);
  optimizer.moment2_ = at::zeros({end}, wide);
  optimizer.gradients_and_extras_ = at::zeros({end + kExtras}, wide);
  return optimizer;
}

void FlatAdamW::GatherGradients() {
  const at::NoGradGuard no_gradients;
  std::vector<Tensor> pieces;
  int64_t begin = 0, count = 0;
  const auto flush = [&] {
    if (count == 0) return;
    gradients_and_extras_.narrow(0, begin, count).add_(at::cat(pieces));
    pieces.clear();
    begin += count;
    count = 0;
  };
  for (Slot& slot : slots_) {
    const int64_t size = slot.parameter.numel();
    if (count > 0 && count + size > kGatherElements) flush();
    Tensor& gradient = slot.parameter.mutable_grad();
    pieces.push_back(gradient.defined() ? gradient.reshape({-1})
                                        : at::zeros({size}, zeros_.options()));
    gradient = Tensor();
    if (slot.padding > 0) pieces.push_back(zeros_.narrow(0, 0, slot.padding));
    count += size + slot.padding;
  }
  flush();
}

void FlatAdamW::ZeroGradients() {
  gradients_and_extras_.zero_();
  for (Slot& slot : slots_) slot.parameter.mutable_grad() = Tensor();
}

Tensor FlatAdamW::GradientNorm() const { return gradients().norm(); }

void FlatAdamW::Step(double learning_rate, double gradient_scale, int64_t update) {
  const at::NoGradGuard no_gradients;
  Tensor all = gradients();
  all.mul_(gradient_scale);
  for (const Group& group : groups_) {
    const auto part = [&group](const Tensor& tensor) {
      return tensor.narrow(0, group.begin, group.size);
    };
    AdamWStep(part(master_), part(all), part(moment1_), part(moment2_),
              {learning_rate * group.learning_rate_scale, options_.beta1, options_.beta2,
               options_.eps, group.weight_decay, update});
  }
  WriteParameters();
}

void FlatAdamW::WriteParameters() {
  const at::NoGradGuard no_gradients;
  if (!compute_.is_same(master_)) compute_.copy_(master_);
}

}  // namespace hearth::forge

% A dense network trained in the MATLAB language by GNU Octave, as an external program of Assay.
%
%     octave-cli --norc --quiet dense.m FOLDER
%
% It trains what the folder says (docs/runners.md describes it), in the recipe's own precision. What it does not know,
% it refuses with a sentence.
1;

function refuse(varargin)
  fprintf(stderr, ["dense.m: " varargin{1} "\n"], varargin{2:end});
  exit(1);
end

% --- .npy: numbers with their shape ----------------------------------------------------------------------------------

% What NumPy writes: version 1.0, little-endian numbers, row by row. Sizes are checked before memory is taken.
function array = read_npy(path)
  file = fopen(path, "r", "ieee-le");
  if file < 0, refuse("%s: cannot be opened", path); end
  start = fread(file, 10, "uint8=>double")';
  if ! isequal(start(1:8), [147, double("NUMPY"), 1, 0]), refuse("%s: not .npy 1.0", path); end
  head = fread(file, start(9) + 256 * start(10), "uint8=>char")';
  said = regexp(head, "'descr': '<(f4|f8|i4|i8)', 'fortran_order': False, 'shape': \\(([\\d, ]*)\\)", "tokens", "once");
  if isempty(said), refuse("%s: unexpected header %s", path, head); end
  shape = sscanf(strrep(said{2}, ",", " "), "%d")';
  if numel(shape) == 1, shape(2) = 1; end
  types = struct("f4", "single", "f8", "double", "i4", "int32", "i8", "int64");
  content = dir(path).bytes - 10 - numel(head);
  if prod(shape) * str2double(said{1}(2)) != content, refuse("%s: %d bytes do not fit its shape", path, content); end
  array = fread(file, prod(shape), [types.(said{1}) "=>" types.(said{1})]);
  array = reshape(array, fliplr(shape)).';
  fclose(file);
end

% Column by column, as the language keeps its numbers: .npy has a word for that.
function write_npy(path, array, is_vector)
  type = "<f8";
  if isa(array, "single"), type = "<f4"; end
  shape = sprintf("(%d, %d)", size(array));
  if is_vector, shape = sprintf("(%d,)", numel(array)); end
  head = sprintf("{'descr': '%s', 'fortran_order': True, 'shape': %s, }", type, shape);
  head = [head, repmat(" ", 1, 117 - numel(head)), "\n"];
  file = fopen(path, "w", "ieee-le");
  if file < 0, refuse("%s: cannot be written", path); end
  fwrite(file, [147, double("NUMPY"), 1, 0, numel(head), 0, double(head)], "uint8");
  fwrite(file, array, class(array));
  fclose(file);
end

% --- the network -----------------------------------------------------------------------------------------------------

function check(kind, name, known)
  if ! any(strcmp(name, known)), refuse("%s '%s' is not known here; the script can be taught it", kind, name); end
end

function layers = read_layers(recipe, folder)
  layers = recipe.layers;
  if isstruct(layers), layers = num2cell(layers); end
  for i = 1:numel(layers)
    layer = layers{i};
    check("layer", layer.kind, {"dense", "activate"});
    if strcmp(layer.kind, "activate")
      check("activation", layer.("function"), {"identity", "relu", "leaky_relu", "sigmoid", "tanh"});
      continue
    end
    layer.w = read_npy(sprintf("%s/weights/%d.weight.npy", folder, layer.number));
    layer.b = read_npy(sprintf("%s/weights/%d.bias.npy", folder, layer.number))';
    if ! isequal(size(layer.w), [layer.inputs, layer.units]) || numel(layer.b) != layer.units
      refuse("layer %d: its weights do not have its shape", i);
    end
    [layer.mw, layer.vw, layer.mb, layer.vb] = deal(0 * layer.w, 0 * layer.w, 0 * layer.b, 0 * layer.b);
    layers{i} = layer;
  end
end

function a = activated(name, z)
  switch name
    case "relu", a = max(z, 0);
    case "leaky_relu", a = max(z, 0.01 * z);
    case "sigmoid", a = 1 ./ (1 + exp(-z));
    case "tanh", a = tanh(z);
    otherwise, a = z;
  end
end

function d = slope(name, a)  % from what the activation gave: z has the sign of a
  switch name
    case "relu", d = a > 0;
    case "leaky_relu", d = 0.01 + 0.99 * (a > 0);
    case "sigmoid", d = a .* (1 - a);
    case "tanh", d = 1 - a .* a;
    otherwise, d = 1;
  end
end

function a = log_softmax(z)
  z = z - max(z, [], 2);
  a = z - log(sum(exp(z), 2));
end

function a = put_output(name, z)
  switch name
    case "sigmoid", a = activated("sigmoid", z);
    case "softmax", a = exp(log_softmax(z));
    case "log_softmax", a = log_softmax(z);
    otherwise, a = z;
  end
end

% The outputs (B, C), and what every layer saw.
function [a, seen] = forward(net, layers, x)
  seen = cell(1, numel(layers) + 1);
  seen{1} = x;
  for i = 1:numel(layers)
    if strcmp(layers{i}.kind, "dense")
      seen{i + 1} = seen{i} * layers{i}.w + layers{i}.b;
    else
      seen{i + 1} = activated(layers{i}.("function"), seen{i});
    end
  end
  a = put_output(net.output, seen{end});
end

% The loss of each example (B, 1), and its gradient with respect to the outputs (B, C); y is one-hot.
function [value, g] = loss_of(net, a, y)
  switch net.loss
    case "mse", value = sum((a - y) .^ 2, 2) / columns(a); g = 2 * (a - y) / columns(a);
    case "quadratic", value = sum((a - y) .^ 2, 2) / 2; g = a - y;
    case "nll", value = -sum(y .* a, 2); g = -y;
    case "cross_entropy"
      p = max(a, net.epsilon);
      value = -sum(y .* log(p), 2);
      g = -y ./ p .* (a >= net.epsilon);
    case "logit_cross_entropy"
      p = log_softmax(a);
      value = -sum(y .* p, 2);
      g = exp(p) - y;
  end
end

function d = output_backward(name, a, g)
  switch name
    case "sigmoid", d = g .* a .* (1 - a);
    case "softmax", d = a .* (g - sum(a .* g, 2));
    case "log_softmax", d = g - exp(a) .* sum(g, 2);
    otherwise, d = g;
  end
end

% One step of the optimizer on one array; m and v are its state, t counts from 1.
function [w, m, v] = stepped(net, w, g, m, v, rate, t)
  o = net.optimizer;
  switch o.name
    case "descent", w = w - rate * g;
    case "momentum"
      m = o.momentum * m + g;
      w = w - rate * m;
    case "adam"
      m = o.beta1 * m + (1 - o.beta1) * g;
      v = o.beta2 * v + (1 - o.beta2) * g .^ 2;
      w = w - rate / (1 - o.beta1 ^ t) * m ./ (sqrt(v / (1 - o.beta2 ^ t)) + o.epsilon);
  end
end

% One iteration; the mean loss of its batch before the update.
function [layers, loss] = iterate(net, layers, x, y, rate, t)
  [a, seen] = forward(net, layers, x);
  [value, g] = loss_of(net, a, y);
  loss = mean(value);
  d = output_backward(net.output, a, g) / rows(x);
  for i = numel(layers):-1:1
    layer = layers{i};
    if strcmp(layer.kind, "activate")
      d = d .* slope(layer.("function"), seen{i + 1});
      continue
    end
    [gw, gb] = deal(seen{i}' * d, sum(d, 1));
    if i > 1, d = d * layer.w'; end
    [layer.w, layer.mw, layer.vw] = stepped(net, layer.w, gw, layer.mw, layer.vw, rate, t);
    [layer.b, layer.mb, layer.vb] = stepped(net, layer.b, gb, layer.mb, layer.vb, rate, t);
    layers{i} = layer;
  end
end

function [loss, accuracy] = evaluate(net, layers, split, count)
  [loss, right] = deal(0, 0);
  for first = 1:4096:count
    part = first:min(first + 4095, count);
    a = forward(net, layers, split.x(part, :));
    loss = loss + sum(double(loss_of(net, a, one_hot(net, split.y(part)))));
    [~, best] = max(a, [], 2);
    right = right + sum(best == split.y(part) + 1);
  end
  [loss, accuracy] = deal(loss / count, right / count);
end

function y = one_hot(net, labels)
  y = net.eye(labels + 1, :);
end

function split = read_split(folder, name)
  split.x = read_npy(sprintf("%s/data/%s.x.npy", folder, name));
  split.y = double(read_npy(sprintf("%s/data/%s.y.npy", folder, name)));
end

function text = as_json(number)  % what is not finite has no number in JSON
  text = "null";
  if isfinite(number), text = sprintf("%.17g", number); end
end

function print_split(name, loss, accuracy)
  printf(', "%s_loss": %s, "%s_accuracy": %s', name, as_json(loss), name, as_json(accuracy));
end

% --- the training ----------------------------------------------------------------------------------------------------

function train(folder)
  net = jsondecode(fileread([folder "/recipe.json"]), "makeValidName", false);
  if net.format != 1, refuse("recipe.json has format %d; this script reads 1", net.format); end
  if net.regularisation.l1 || net.regularisation.l2, refuse("l1 and l2 are not known here"); end
  if ! isempty(net.clip_norm), refuse("clip_norm is not known here"); end
  check("output", net.output, {"identity", "sigmoid", "softmax", "log_softmax"});
  check("loss", net.loss, {"mse", "quadratic", "cross_entropy", "logit_cross_entropy", "nll"});
  check("optimizer", net.optimizer.name, {"descent", "momentum", "adam"});
  if strcmp(net.output, "softmax") && strcmp(net.loss, "cross_entropy")  % the same, but right where p underflows
    [net.output, net.loss] = deal("log_softmax", "nll");
  end
  layers = read_layers(net, folder);
  data.train = read_split(folder, "train");
  data.test = read_split(folder, "test");
  if isfield(net.examples, "validation"), data.validation = read_split(folder, "validation"); end
  net.eye = eye(net.classes, class(data.train.x));
  sizes = double(read_npy([folder "/batches/sizes.npy"]));
  if ! strcmp(net.batches, "full"), places = double(read_npy(sprintf("%s/batches/%s.npy", folder, net.batches))); end
  rates = read_npy([folder "/learning_rates.npy"]);
  points = double(read_npy([folder "/log_points.npy"]));

  [t, seconds, batch_loss] = deal(0, 0, NaN);
  for point = points'
    clock = tic;
    while t < point
      t++;
      switch net.batches
        case "rows", batch = places(t, 1:sizes(t)) + 1;
        case "starts", batch = places(t) + (1:sizes(t));
        otherwise, batch = 1:sizes(t);
      end
      x = data.train.x(batch, :);
      [layers, batch_loss] = iterate(net, layers, x, one_hot(net, data.train.y(batch)), rates(t), t);
    end
    if t, seconds = seconds + toc(clock); end
    printf('{"iteration": %d, "seconds": %.9f', t, seconds);
    if ischar(net.train_loss)  % "batch"
      if t, printf(', "train_loss": %s', as_json(batch_loss)); end
    else
      [loss, accuracy] = evaluate(net, layers, data.train, net.train_loss);
      print_split("train", loss, accuracy);
    end
    for name = setdiff(fieldnames(data)', "train")
      [loss, accuracy] = evaluate(net, layers, data.(name{1}), rows(data.(name{1}).x));
      print_split(name{1}, loss, accuracy);
    end
    printf("}\n");
    fflush(stdout);
  end
  for i = 1:numel(layers)
    if strcmp(layers{i}.kind, "activate"), continue; end
    write_npy(sprintf("%s/final/%d.weight.npy", folder, layers{i}.number), layers{i}.w, false);
    write_npy(sprintf("%s/final/%d.bias.npy", folder, layers{i}.number), layers{i}.b, true);
  end
end

words = argv();
if numel(words) < 1, refuse("expected one word, the folder that Assay made"); end
train(words{end});

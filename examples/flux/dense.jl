# A dense network trained by Flux.jl, as an external program of Assay. It follows docs/runners.md and the C and Octave
# examples, but it has not been run by this project's tests: see README.md.
#
#     julia --project=examples/flux examples/flux/dense.jl FOLDER
#
# What it does not know, it refuses with a sentence.

using Flux, JSON, NPZ

function refuse(sentence)
    println(stderr, "dense.jl: ", sentence)
    exit(1)
end

known(kind, name, table) = haskey(table, name) ? table[name] : refuse("$kind '$name' is not known here")

const ACTIVATIONS = Dict(
    "identity" => identity,
    "relu" => relu,
    "leaky_relu" => x -> leakyrelu(x, oftype(x, 0.01)),
    "sigmoid" => sigmoid,
    "tanh" => tanh,
)

const OUTPUTS = Dict(
    "identity" => identity,
    "sigmoid" => z -> sigmoid.(z),
    "softmax" => softmax,
    "log_softmax" => logsoftmax,
)

# The loss of each example, a row; a and the one-hot y are (classes, examples), as Flux keeps them.
const LOSSES = Dict(
    "mse" => (a, y, epsilon) -> sum(abs2, a .- y; dims = 1) ./ size(a, 1),
    "quadratic" => (a, y, epsilon) -> sum(abs2, a .- y; dims = 1) ./ 2,
    "cross_entropy" => (a, y, epsilon) -> -sum(y .* log.(max.(a, epsilon)); dims = 1),
    "logit_cross_entropy" => (a, y, epsilon) -> -sum(y .* logsoftmax(a); dims = 1),
    "nll" => (a, y, epsilon) -> -sum(y .* a; dims = 1),
)

function rule(optimizer)
    name = optimizer["name"]
    name == "descent" && return Descent(optimizer["learning_rate"])
    name == "momentum" && return Momentum(optimizer["learning_rate"], optimizer["momentum"])
    name == "adam" || refuse("optimizer '$name' is not known here")
    return Adam(optimizer["learning_rate"], (optimizer["beta1"], optimizer["beta2"]), optimizer["epsilon"])
end

# Assay's weights are (inputs, units), Flux's (units, inputs).
function network(recipe, folder)
    layers = Any[]
    for layer in recipe["layers"]
        if layer["kind"] == "dense"
            weight, bias = (npzread("$folder/weights/$(layer["number"]).$part.npy") for part in ("weight", "bias"))
            push!(layers, Dense(permutedims(weight), bias))
        elseif layer["kind"] == "activate"
            function_ = known("activation", layer["function"], ACTIVATIONS)
            push!(layers, z -> function_.(z))
        else
            refuse("layer '$(layer["kind"])' is not known here")
        end
    end
    return Chain(layers...)
end

struct Split
    x::Matrix
    y::Matrix
    labels::Vector{Int}
end

function split(folder, name, classes)
    x = permutedims(npzread("$folder/data/$name.x.npy"))  # (inputs, examples)
    labels = Int.(npzread("$folder/data/$name.y.npy"))
    return Split(x, eltype(x).(Flux.onehotbatch(labels, 0:classes-1)), labels)
end

function measured(name, model, output, loss, epsilon, data, count)
    total, right = 0.0, 0
    for part in Iterators.partition(1:count, 4096)
        a = output(model(data.x[:, part]))
        total += sum(Float64, loss(a, data.y[:, part], epsilon))
        right += sum(Flux.onecold(a) .- 1 .== data.labels[part])
    end
    return Dict{String,Any}("$(name)_loss" => finite(total / count), "$(name)_accuracy" => right / count)
end

finite(number) = isfinite(number) ? number : nothing  # null in JSON: the training has diverged

function train(folder)
    recipe = JSON.parsefile("$folder/recipe.json")
    recipe["format"] == 1 || refuse("recipe.json has format $(recipe["format"]); this script reads 1")
    penalties = recipe["regularisation"]
    penalties["l1"] == 0 && penalties["l2"] == 0 || refuse("l1 and l2 are not known here")
    recipe["clip_norm"] === nothing || refuse("clip_norm is not known here")
    names = (recipe["output"], recipe["loss"])
    names = names == ("softmax", "cross_entropy") ? ("log_softmax", "nll") : names  # right where p underflows too
    output, loss = known("output", names[1], OUTPUTS), known("loss", names[2], LOSSES)
    model, classes = network(recipe, folder), recipe["classes"]
    splits = Dict(name => split(folder, name, classes) for name in keys(recipe["examples"]))
    data = splits["train"]
    epsilon = eltype(data.x)(recipe["epsilon"])
    state = Flux.setup(rule(recipe["optimizer"]), model)
    rates, points = npzread("$folder/learning_rates.npy"), npzread("$folder/log_points.npy")
    sizes = npzread("$folder/batches/sizes.npy")
    places = recipe["batches"] == "full" ? nothing : npzread("$folder/batches/$(recipe["batches"]).npy")

    t, seconds, batch_loss = 0, 0.0, NaN
    for point in points
        spent = @elapsed while t < point
            t += 1
            batch = if recipe["batches"] == "rows"
                places[t, 1:sizes[t]] .+ 1
            elseif recipe["batches"] == "starts"
                places[t] .+ (1:sizes[t])
            else
                1:sizes[t]
            end
            x, y = data.x[:, batch], data.y[:, batch]
            Flux.adjust!(state, rates[t])
            batch_loss, gradients = Flux.withgradient(m -> sum(loss(output(m(x)), y, epsilon)) / length(batch), model)
            Flux.update!(state, model, gradients[1])
        end
        t > 0 && (seconds += spent)
        line = Dict{String,Any}("iteration" => t, "seconds" => seconds)
        if recipe["train_loss"] != "batch"
            merge!(line, measured("train", model, output, loss, epsilon, data, recipe["train_loss"]))
        elseif t > 0
            line["train_loss"] = finite(batch_loss)
        end
        for name in setdiff(keys(splits), ["train"])
            merge!(line, measured(name, model, output, loss, epsilon, splits[name], length(splits[name].labels)))
        end
        println(JSON.json(line))
        flush(stdout)
    end
    dense = [layer for layer in model.layers if layer isa Dense]
    for (number, layer) in enumerate(dense)
        npzwrite("$folder/final/$(number - 1).weight.npy", permutedims(layer.weight))
        npzwrite("$folder/final/$(number - 1).bias.npy", layer.bias)
    end
end

length(ARGS) >= 1 || refuse("expected one word, the folder that Assay made")
train(ARGS[end])

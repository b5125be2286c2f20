/**
 * The gradients that the wasm backend of TensorFlow.js 4.22 lacks (tensorflow/tfjs issue 8474), or has wrong.
 *
 * Without them `model.fit` on wasm stops at the first convolution: "Kernel 'Conv2DBackpropFilter' not registered".
 * Found by asking every layer of TensorFlow.js for its gradients on cpu and on wasm:
 *
 * - lacking: Conv2DBackpropFilter (Conv1D, Conv2D, SeparableConv2D), DepthwiseConv2dNativeBackpropFilter and -Input
 *   (DepthwiseConv2D, SeparableConv2D), UnsortedSegmentSum (Embedding). They are registered here.
 * - wrong, without a word: MaxPoolGrad wherever the numbers under a window are all negative. Registered here anew.
 * - wrong as well: Conv3DBackpropInputV2 (always) and Conv3DBackpropFilterV2 (strides above 1), MaxPool3DGrad (as
 *   MaxPoolGrad). Refused here in words; Conv3DTranspose, which is computed by the first, is refused with it.
 *
 * All others agree: dense and recurrent layers, Conv2DTranspose, average pooling, normalisation, up-sampling.
 * What no backend differentiates stays so: a dilation above 1, Conv3DTranspose, CenterCrop, ThresholdedReLU. Without a
 * gradient on wasm, and used by no layer: Einsum, FFT, IFFT, Complex, ComplexAbs, Real, Imag. (The cpu backend has a
 * wrong one of its own: UpSampling2D with `nearest`, for instance from 3 to 6 pixels.)
 *
 * The one idea: a gradient of a convolution is again a convolution, with images and filters in other places, and the
 * forward convolution is what the wasm backend does fastest. (A matrix product for each cell of the filter, the usual
 * way, took 5 to 25 times as long.)
 */

const BACKEND = 'wasm';
const WRONG_IN_3D = ['Conv3DBackpropFilterV2', 'Conv3DBackpropInputV2', 'MaxPool3DGrad'];
const prepared = new WeakSet();

/**
 * Register what the wasm backend lacks or has wrong for training. Calling it again changes nothing.
 *
 * @param {object} tf TensorFlow.js, with its wasm backend loaded
 * @returns {string[]} the names of the kernels that are new or replaced; none the second time
 */
export function registerWasmGradients(tf) {
  if (prepared.has(tf)) return [];
  prepared.add(tf);
  const kernels = {
    Conv2DBackpropFilter: conv2DFilterGradient,
    DepthwiseConv2dNativeBackpropFilter: depthwiseFilterGradient,
    DepthwiseConv2dNativeBackpropInput: depthwiseInputGradient,
    MaxPoolGrad: maxPoolGradient,
    UnsortedSegmentSum: unsortedSegmentSum,
    ...Object.fromEntries(WRONG_IN_3D.map((name) => [name, () => refuse3D(name)])),
  };
  for (const [kernelName, gradient] of Object.entries(kernels)) {
    if (tf.getKernel(kernelName, BACKEND)) tf.unregisterKernel(kernelName, BACKEND);
    const kernelFunc = ({ inputs, attrs }) => tf.tidy(() => gradient(tf, inputs, attrs));
    tf.registerKernel({ kernelName, backendName: BACKEND, kernelFunc });
  }
  return Object.keys(kernels);
}

/** How the filter of a Conv2D changes the loss; shape of the filter [height, width, channels in, channels out]. */
function conv2DFilterGradient(tf, { x, dy }, { filterShape, strides, pad, dimRoundingMode, dataFormat }) {
  refuseChannelsFirst('Conv2DBackpropFilter', dataFormat);
  const conv = tf.backend_util.computeConv2DInfo(x.shape, filterShape, strides, 1, pad, dimRoundingMode);
  const [height, width, channelsIn, channelsOut] = filterShape;
  const padded = padImage(tf, x, conv.padInfo);
  if (height * width === 1 && conv.strideHeight * conv.strideWidth === 1) {
    const pixels = padded.reshape([-1, channelsIn]).transpose(); // transposed first: only such products are fast
    return tf.matMul(pixels, dy.reshape([-1, channelsOut])).reshape(filterShape);
  }
  // Every input channel is an image whose channels are the examples; dy is the filter that slides over it.
  const images = padded.transpose([3, 1, 2, 0]);
  const filter = dy.transpose([1, 2, 0, 3]);
  const gradient = tf.conv2d(images, filter, 1, 'valid', 'NHWC', [conv.strideHeight, conv.strideWidth]);
  return gradient.slice([0, 0, 0, 0], [channelsIn, height, width, channelsOut]).transpose([1, 2, 0, 3]);
}

/** How the filter of a DepthwiseConv2D changes the loss; shape [height, width, channels, multiplier]. */
function depthwiseFilterGradient(tf, { x, dy }, { filterShape, strides, pad, dilations, dimRoundingMode }) {
  const conv = depthwiseInfo(tf, x.shape, filterShape, { strides, pad, dilations, dimRoundingMode });
  const [height, width, channels, multiplier] = filterShape;
  const padded = padImage(tf, x, conv.padInfo);
  const [examples, paddedHeight, paddedWidth] = padded.shape;
  // One image with a channel for every channel of every example; afterwards the examples are added up.
  const every = examples * channels;
  const image = padded.transpose([1, 2, 0, 3]).reshape([1, paddedHeight, paddedWidth, every]);
  const filter = dy.transpose([1, 2, 0, 3]).reshape([conv.outHeight, conv.outWidth, every, multiplier]);
  const gradient = tf.depthwiseConv2d(image, filter, 1, 'valid', 'NHWC', [conv.strideHeight, conv.strideWidth]);
  const cut = gradient.slice([0, 0, 0, 0], [1, height, width, every * multiplier]);
  return cut.reshape([height, width, examples, channels, multiplier]).sum(2);
}

/** How the input of a DepthwiseConv2D changes the loss; shape of the input [examples, height, width, channels]. */
function depthwiseInputGradient(tf, { dy, filter }, { inputShape, strides, pad, dilations, dimRoundingMode }) {
  const conv = depthwiseInfo(tf, inputShape, filter.shape, { strides, pad, dilations, dimRoundingMode });
  const [examples, inHeight, inWidth, channels] = inputShape;
  const [height, width, , multiplier] = filter.shape;
  // A filter that slides over dy, turned by half a turn; where the stride left pixels out, there are zeros.
  let spread = spreadRows(tf, dy, conv.strideHeight);
  spread = spreadRows(tf, spread.transpose([0, 2, 1, 3]), conv.strideWidth).transpose([0, 2, 1, 3]);
  spread = fitAxis(tf, spread, 1, height - 1 - conv.padInfo.top, inHeight + height - 1);
  spread = fitAxis(tf, spread, 2, width - 1 - conv.padInfo.left, inWidth + width - 1);
  const turned = filter.reverse([0, 1]).reshape([height, width, channels * multiplier, 1]);
  const gradient = tf.depthwiseConv2d(spread, turned, 1, 'valid');
  return multiplier === 1 ? gradient : gradient.reshape([examples, inHeight, inWidth, channels, multiplier]).sum(4);
}

/** How the input of a MaxPooling2D changes the loss: a slope goes to the (first) largest number of its window. */
function maxPoolGradient(tf, { dy, input }, { filterSize, strides, pad, dimRoundingMode }) {
  const pool = tf.backend_util.computePool2DInfo(input.shape, filterSize, strides, 1, pad, dimRoundingMode);
  const { outHeight, outWidth, inHeight, inWidth, inChannels: channels } = pool;
  const rows = windows(outHeight, pool.strideHeight, pool.padInfo.top, pool.filterHeight, inHeight);
  const columns = windows(outWidth, pool.strideWidth, pool.padInfo.left, pool.filterWidth, inWidth);
  const values = input.dataSync();
  const slopes = dy.dataSync();
  const gradient = new Float32Array(values.length);
  let next = 0;
  for (let example = 0; example < pool.batchSize; example++) {
    for (const [top, bottom] of rows) {
      for (const [left, right] of columns) {
        for (let channel = 0; channel < channels; channel++) {
          let largest = -1;
          for (let y = top; y < bottom; y++) {
            for (let x = left; x < right; x++) {
              const here = ((example * inHeight + y) * inWidth + x) * channels + channel;
              if (largest < 0 || values[here] > values[largest]) largest = here;
            }
          }
          gradient[largest] += slopes[next++];
        }
      }
    }
  }
  return tf.tensor(gradient, input.shape);
}

/** Begin and end of each window of a pooling along one axis, without what lies in the padding. */
function windows(count, stride, padding, width, length) {
  return Array.from({ length: count }, (_, index) => {
    const begin = index * stride - padding;
    return [Math.max(0, begin), Math.min(length, begin + width)];
  });
}

/** Rows with the same number are added up: `result[ids[i]] += x[i]`. A negative number is left out, as elsewhere. */
function unsortedSegmentSum(tf, { x, segmentIds }, { numSegments }) {
  const rows = x.dataSync();
  const ids = segmentIds.dataSync();
  const width = x.shape.slice(segmentIds.rank).reduce((product, size) => product * size, 1);
  const sums = new rows.constructor(numSegments * width);
  ids.forEach((id, row) => {
    if (id < 0 || id >= numSegments) return;
    for (let column = 0; column < width; column++) sums[id * width + column] += rows[row * width + column];
  });
  return tf.tensor(sums, [numSegments, ...x.shape.slice(segmentIds.rank)], x.dtype);
}

function refuseChannelsFirst(kernel, dataFormat) {
  if (dataFormat !== 'NHWC') {
    throw new Error(
      `${kernel} on wasm was given images with dataFormat ${dataFormat}; it knows NHWC only (the channels last). ` +
        'Transpose the images first, as the layers of TensorFlow.js do, or train on another backend.',
    );
  }
}

function refuse3D(kernel) {
  throw new Error(
    `${kernel} was asked of the wasm backend, whose answers are wrong (TensorFlow.js 4.22). ` +
      "Train this model on another backend: tf.setBackend('webgl') or tf.setBackend('cpu').",
  );
}

function depthwiseInfo(tf, inputShape, filterShape, { strides, pad, dilations, dimRoundingMode }) {
  if ([dilations ?? 1].flat().some((dilation) => dilation !== 1)) {
    throw new Error(`the gradient of a depthwise convolution was asked for dilations ${dilations}; it knows 1 only.`);
  }
  return tf.backend_util.computeConv2DInfo(inputShape, filterShape, strides, 1, pad, dimRoundingMode, true);
}

function padImage(tf, image, { top, bottom, left, right }) {
  if (!(top || bottom || left || right)) return image;
  return tf.pad(image, [[0, 0], [top, bottom], [left, right], [0, 0]]);
}

/** [examples, rows, width, channels] with `stride - 1` rows of zeros after every row. */
function spreadRows(tf, image, stride) {
  if (stride === 1) return image;
  const [examples, rows, width, channels] = image.shape;
  const single = image.reshape([examples * rows, 1, width * channels]);
  return tf.pad(single, [[0, 0], [0, stride - 1], [0, 0]]).reshape([examples, rows * stride, width, channels]);
}

/** Put `before` zeros in front along `axis` (cut, if negative), and zeros or a cut at the end, to `length` in all. */
function fitAxis(tf, image, axis, before, length) {
  const begin = [0, 0, 0, 0];
  begin[axis] = Math.max(0, -before);
  const size = [...image.shape];
  size[axis] = Math.min(image.shape[axis] - begin[axis], length - Math.max(0, before));
  const paddings = [[0, 0], [0, 0], [0, 0], [0, 0]];
  paddings[axis] = [Math.max(0, before), length - Math.max(0, before) - size[axis]];
  return tf.pad(image.slice(begin, size), paddings);
}

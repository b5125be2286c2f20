/** The model behind the page, on TensorFlow.js or on LiteRT.js, as something to ask. */
import { SIDE } from '../bitmap.js';

/**
 * @typedef {object} Answerer
 * @property {(bitmap: Float32Array) => Promise<Float32Array>} ask one probability for each class
 * @property {() => void} dispose gives back all memory
 */

/**
 * Reads a model in TensorFlow.js's format, once for all backends.
 * @param {{bytes: (name: string) => Promise<ArrayBuffer>}} files
 * @param {string} folder where model.json is
 * @returns {Promise<{artifacts: object, bytes: number}>}
 */
export async function readModel(files, folder) {
  const text = await files.bytes(`${folder}/model.json`);
  const { weightsManifest = [], ...rest } = JSON.parse(new TextDecoder().decode(text));
  const paths = weightsManifest.flatMap((group) => group.paths);
  const parts = await Promise.all(paths.map((path) => files.bytes(`${folder}/${path}`)));
  const weightData = await new Blob(parts).arrayBuffer();
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  return { artifacts: { ...rest, weightSpecs, weightData }, bytes: text.byteLength + weightData.byteLength };
}

/**
 * The model on the backend that TensorFlow.js has now.
 * @param {object} tf
 * @param {object} artifacts from `readModel`
 * @returns {Promise<Answerer>}
 */
export async function openWithTensorFlow(tf, artifacts) {
  const load = { 'graph-model': tf.loadGraphModel, 'layers-model': tf.loadLayersModel }[artifacts.format];
  if (!load) throw new Error(`model.json has the format "${artifacts.format}"; it is to be "graph-model" or "layers-model"`);
  const model = await load(tf.io.fromMemory(artifacts));
  return {
    async ask(bitmap) {
      const answer = tf.tidy(() => {
        const given = model.predict(tf.tensor4d(bitmap, [1, SIDE, SIDE, 1]));
        return onlyOne(given instanceof tf.Tensor ? [given] : Object.values(given));
      });
      try {
        return await answer.data();
      } finally {
        answer.dispose();
      }
    },
    dispose: () => model.dispose(),
  };
}

/**
 * The model on LiteRT.js.
 * @param {() => Promise<object>} lite gives the module lite.js
 * @param {ArrayBuffer} bytes of the .tflite file
 * @param {string} name of that file, for errors
 * @returns {Promise<Answerer>}
 */
export async function openWithLiteRt(lite, bytes, name) {
  const { loadLiteRt, predictLiteRt } = await lite();
  const url = URL.createObjectURL(new Blob([bytes]));
  const model = await loadLiteRt(url)
    .catch((error) => { throw new Error(error.message.replaceAll(url, name)); })
    .finally(() => URL.revokeObjectURL(url));
  const input = model.getInputDetails()[0].name;
  return {
    ask: async (bitmap) => onlyOne(Object.values(await predictLiteRt(model, { [input]: bitmap }))).data,
    dispose: () => model.delete(),
  };
}

function onlyOne(answers) {
  if (answers.length !== 1) throw new Error(`the model gives ${answers.length} answers; it is to give one, the probabilities`);
  return answers[0];
}

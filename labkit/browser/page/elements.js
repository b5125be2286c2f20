/** Making elements in one line. */

/**
 * Makes an element.
 * @param {string} tag
 * @param {string} className
 * @param {Object<string, string>} [attributes] by name
 * @param {string} [text]
 * @returns {HTMLElement}
 */
export function make(tag, className, attributes = {}, text = '') {
  const element = document.createElement(tag);
  element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

// Entities that most scenarios can use. A method is an operation.

import { sdk } from "./sdk.mjs";
import { Gates } from "./waiting.mjs";

/** Where operations named `...At` wait, by the name in their input. */
export const gates = new Gates();

/** A number. */
export class Counter extends sdk.TaskEntity {
  initializeState() {
    return 0;
  }

  add(amount) {
    this.state += amount;
    return this.state;
  }

  set(value) {
    this.state = value;
  }

  get() {
    return this.state;
  }

  async addAt({ gate, amount }) {
    await gates.at(gate).pass();
    return this.add(amount);
  }

  spoil(message) {
    this.state = "spoilt";
    throw new RangeError(message);
  }
}

/** A list of what it was told, in order. */
export class Journal extends sdk.TaskEntity {
  initializeState() {
    return [];
  }

  append(entry) {
    this.state.push(entry);
    return this.state.length;
  }

  async appendAt({ gate, entry }) {
    await gates.at(gate).pass();
    return this.append(entry);
  }

  entries() {
    return this.state;
  }
}

/** Whatever JSON value it was given last; null deletes it. */
export class Register extends sdk.TaskEntity {
  initializeState() {
    return null;
  }

  set(value) {
    this.state = value;
  }

  echo(value) {
    return value;
  }
}

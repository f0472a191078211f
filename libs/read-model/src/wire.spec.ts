import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { argsIn, bytesOf } from './wire.js';

const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.constant(''), fc.constant('$1\r\n*2\r\n'));

it('gives back the arguments of which bytes were made, whatever letters they have', () => {
  fc.assert(fc.property(fc.array(text), (args) => expect(argsIn(bytesOf(args))).toEqual(args)));
});

it('writes an array of bulk strings whose lengths are in bytes', () => {
  expect(bytesOf(['set', 'naïve', 7]).toString()).toBe('*3\r\n$3\r\nset\r\n$6\r\nnaïve\r\n$1\r\n7\r\n');
});

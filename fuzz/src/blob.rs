//! Blobs of named arrays, as the catalog keeps training sets and draws.

use sedflow::store::{Array, Values, decode_arrays, encode_arrays};

/// Bytes that a blob may unpack to here.
const LIMIT: usize = 1 << 20;

pub fn run(bytes: &[u8]) {
    let Ok(arrays) = decode_arrays(bytes, LIMIT) else { return };
    let mut total = 0;
    for array in &arrays {
        let (values, width) = match &array.values {
            Values::F32(values) => (values.len(), 4),
            Values::F64(values) => (values.len(), 8),
        };
        assert_eq!(values, array.shape.iter().product::<usize>());
        total += values * width;
    }
    assert!(total <= LIMIT);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let arrays = [
        Array::f32("theta", &[3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        Array::f64("x", &[4], vec![0.5; 4]),
        Array::f32("none", &[0], vec![]),
    ];
    let zeros = Array::f64("zeros", &[1000, 10], vec![0.0; 10_000]);
    vec![encode_arrays(&arrays).unwrap(), encode_arrays(&[zeros]).unwrap()]
}

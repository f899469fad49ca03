"""Files of Caffe: prototxt, caffemodel (binary, HDF5), means, legacy forms. Without torch."""

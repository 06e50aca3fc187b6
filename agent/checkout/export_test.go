package checkout

// FaceLines is faceLines for tests.
var FaceLines = faceLines
